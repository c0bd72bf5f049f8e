#pragma once

// Character classes as the Python package `tokenizers` sees them (unicode_tables.inc says which
// version), so that token ids agree with it on every code point, assigned or not.

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace hadal {

/// A set of the classes below; a character may be in several.
using CharClass = uint8_t;

inline constexpr CharClass kLetter = 1;       // \p{L}
inline constexpr CharClass kMark = 2;         // \p{M}
inline constexpr CharClass kNumber = 4;       // \p{N}
inline constexpr CharClass kPunctuation = 8;  // \p{P}
inline constexpr CharClass kSymbol = 16;      // \p{S}
inline constexpr CharClass kSpace = 32;       // \s
inline constexpr CharClass kNumeric = 64;     // what the Digits step isolates

/// The classes of `code_point`; none for values that are not Unicode scalars.
/// A table look-up below U+10000, a binary search above.
CharClass ClassOf(char32_t code_point);

/// A character of text already known to be valid UTF-8.
struct ValidChar {
  char32_t code_point;
  size_t num_bytes;
};

/// The character at `offset`. REQUIRES: `text` is valid UTF-8 and a character starts at `offset`.
inline ValidChar CharAt(std::string_view text, size_t offset) {
  const auto byte = [text, offset](size_t i) {
    return static_cast<char32_t>(static_cast<uint8_t>(text[offset + i]));
  };
  const char32_t first = byte(0);
  if (first < 0x80) {
    return {first, 1};
  }
  if (first < 0xE0) {
    return {(first & 0x1FU) << 6U | (byte(1) & 0x3FU), 2};
  }
  if (first < 0xF0) {
    return {(first & 0x0FU) << 12U | (byte(1) & 0x3FU) << 6U | (byte(2) & 0x3FU), 3};
  }
  return {(first & 0x07U) << 18U | (byte(1) & 0x3FU) << 12U | (byte(2) & 0x3FU) << 6U |
              (byte(3) & 0x3FU),
          4};
}

}  // namespace hadal
