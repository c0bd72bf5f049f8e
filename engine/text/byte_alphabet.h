#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace hadal {

/// The alphabet in which byte-level tokenizers write bytes (GPT-2): one printable character for
/// each byte, the byte's own Latin-1 character where that is printable and U+0100… for the others.
class ByteAlphabet {
 public:
  ByteAlphabet();

  /// The character of `byte`, in UTF-8.
  [[nodiscard]] std::string_view CharOf(uint8_t byte) const { return chars_[byte]; }

  /// The bytes that `text`, valid UTF-8, stands for; nothing when a character is not of the
  /// alphabet.
  [[nodiscard]] std::optional<std::string> Decode(std::string_view text) const;

 private:
  std::array<std::string, 256> chars_;
  std::array<int16_t, 0x144> bytes_;  // by code point; -1: not of the alphabet
};

}  // namespace hadal
