#pragma once

#include <string>

#include <boost/json/value.hpp>

namespace hadal {

/// `value` as Python's `json.dumps(value, ensure_ascii=False)` writes it: ", " and ": " between
/// items, members in their order, characters outside of ASCII as they are. Chat templates put tool
/// definitions into prompts in this form, so models know it best.
std::string ToPythonJson(const boost::json::value& value);

/// The same with `indent=4`: each member and item on a line of its own.
std::string ToIndentedPythonJson(const boost::json::value& value);

}  // namespace hadal
