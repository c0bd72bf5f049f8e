#include "base/cpu/system_file.h"

#include <charconv>
#include <fstream>
#include <ios>
#include <system_error>

namespace hadal {
namespace {

constexpr std::streamsize kMaxBytes = std::streamsize{64} * 1024;
constexpr std::string_view kWhiteSpace = " \t\r\n";

}  // namespace

std::optional<std::string> ReadSystemFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return std::nullopt;
  }
  std::string text(static_cast<size_t>(kMaxBytes), '\0');
  file.read(text.data(), kMaxBytes);
  if (file.bad()) {
    return std::nullopt;
  }
  text.resize(static_cast<size_t>(file.gcount()));
  return text;
}

std::optional<int64_t> ParseSystemNumber(std::string_view text) {
  const size_t begin = text.find_first_not_of(kWhiteSpace);
  if (begin == std::string_view::npos) {
    return std::nullopt;
  }
  text = text.substr(begin, text.find_last_not_of(kWhiteSpace) + 1 - begin);
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) {
    return std::nullopt;
  }
  return number;
}

}  // namespace hadal
