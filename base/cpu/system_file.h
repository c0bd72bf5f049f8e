#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace hadal {

/// A small text that the operating system makes up: a file of /proc or /sys, up to 64 KiB of it.
/// Nothing when it cannot be read.
std::optional<std::string> ReadSystemFile(const std::string& path);

/// The number that is all of `text` but for white space around it. Nothing when there is anything
/// else, or when it does not fit.
std::optional<int64_t> ParseSystemNumber(std::string_view text);

}  // namespace hadal
