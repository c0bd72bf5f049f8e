#include "server/openai/json_text.h"

#include <array>
#include <charconv>

#include "base/check.h"

namespace hadal {
namespace {

// What stands behind the backslash of an escape; 0: the byte needs none; 'u': \u00XX.
constexpr std::array<char, 256> kEscapes = [] {
  std::array<char, 256> escapes{};
  for (size_t control = 0; control < 0x20; ++control) {
    escapes[control] = 'u';
  }
  escapes['\b'] = 'b';
  escapes['\f'] = 'f';
  escapes['\n'] = 'n';
  escapes['\r'] = 'r';
  escapes['\t'] = 't';
  escapes['"'] = '"';
  escapes['\\'] = '\\';
  return escapes;
}();

constexpr std::string_view kHexDigits = "0123456789abcdef";

template <typename Number>
void AppendDigits(Number number, std::string& json) {
  std::array<char, 32> digits;
  const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), number);
  CHECK(error == std::errc());  // 32 bytes hold every number of these types
  json.append(digits.data(), end);
}

}  // namespace

void AppendJsonEscaped(std::string_view text, std::string& json) {
  size_t begin = 0;  // of what needs no escape
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<uint8_t>(text[i]);
    const char escape = kEscapes[byte];
    if (escape == 0) {
      continue;
    }
    json.append(text, begin, i - begin);
    begin = i + 1;
    json.push_back('\\');
    json.push_back(escape);
    if (escape == 'u') {
      json.append("00");
      json.push_back(kHexDigits[byte / 16]);
      json.push_back(kHexDigits[byte % 16]);
    }
  }
  json.append(text, begin);
}

void AppendJsonString(std::string_view text, std::string& json) {
  json.push_back('"');
  AppendJsonEscaped(text, json);
  json.push_back('"');
}

void AppendJsonNumber(int64_t number, std::string& json) {
  AppendDigits(number, json);
}

void AppendJsonNumber(float number, std::string& json) {
  AppendDigits(number, json);
}

}  // namespace hadal
