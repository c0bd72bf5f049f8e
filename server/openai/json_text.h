#pragma once

// JSON written straight into a string: the bodies of responses are made token by token, where a
// tree of values would cost more than all else.

#include <cstdint>
#include <string>
#include <string_view>

namespace hadal {

/// Appends `text` as it stands between the quotes of a JSON string: quotes, backslashes and control
/// characters escaped, all others as they are. REQUIRES: valid UTF-8.
void AppendJsonEscaped(std::string_view text, std::string& json);

/// The same with its quotes.
void AppendJsonString(std::string_view text, std::string& json);

void AppendJsonNumber(int64_t number, std::string& json);

/// The shortest digits that read back as the same float.
/// REQUIRES: finite.
void AppendJsonNumber(float number, std::string& json);

}  // namespace hadal
