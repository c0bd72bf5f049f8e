#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace hadal {

/// One decoded character.
struct Utf8Char {
  char32_t code_point = 0;
  int32_t num_bytes = 0;  // 0: the bytes at this place are not valid UTF-8
};

/// Decodes the character at the start of `text` (RFC 3629: no overlong forms, surrogates, or values
/// above U+10FFFF). num_bytes is 0 when `text` is empty or does not start with a whole character.
Utf8Char DecodeUtf8(std::string_view text);

/// Appends `code_point` in UTF-8. REQUIRES: a Unicode scalar value.
void AppendUtf8(char32_t code_point, std::string& out);

/// The length in bytes of the longest valid prefix of `text`; text.size() when all is valid.
size_t ValidUtf8Prefix(std::string_view text);

/// The number of bytes, 1 to 4, of the longest prefix of `text` that could still begin a valid
/// character (the "maximal subpart" of Unicode 15 section 3.9): the unit that one U+FFFD replaces.
/// REQUIRES: `text` is not empty and does not start with a whole character.
size_t InvalidUtf8Length(std::string_view text);

/// True when `text` is a proper prefix of some valid character: more bytes may complete it.
bool IsIncompleteUtf8(std::string_view text);

/// `text` with each maximal invalid subpart replaced by U+FFFD.
std::string ReplaceInvalidUtf8(std::string_view text);

}  // namespace hadal
