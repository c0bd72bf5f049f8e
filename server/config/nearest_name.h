#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace hadal {

/// The one of `known` that a typing mistake could have turned into `found`: the fewest letters
/// added, left out or replaced, and no more than a third of its own. Empty when there is none.
std::string NearestName(std::string_view found, const std::vector<std::string>& known);

}  // namespace hadal
