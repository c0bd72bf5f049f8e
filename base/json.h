#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <boost/json/value.hpp>

#include "base/status.h"

namespace hadal {

/// Strict JSON (RFC 8259) to a value. InvalidArgument, with the byte offset, for anything
/// malformed: bad UTF-8, trailing text, nesting deeper than 64, a key that an object holds twice
/// (two readers would disagree about its value). Never throws; time and memory are linear in
/// `text`.
absl::StatusOr<boost::json::value> ParseJson(std::string_view text);

/// ParseJson of a file of at most `max_bytes`; errors name the file.
absl::StatusOr<boost::json::value> ParseJsonFile(const std::string& path, size_t max_bytes);

}  // namespace hadal
