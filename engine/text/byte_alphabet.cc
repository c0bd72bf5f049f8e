#include "engine/text/byte_alphabet.h"

#include "base/utf8.h"
#include "engine/text/unicode_classes.h"

namespace hadal {
namespace {

bool StandsForItself(char32_t byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

}  // namespace

ByteAlphabet::ByteAlphabet() {
  bytes_.fill(-1);
  char32_t next_substitute = 0x100;
  for (char32_t byte = 0; byte < 256; ++byte) {
    const char32_t c = StandsForItself(byte) ? byte : next_substitute++;
    AppendUtf8(c, chars_[byte]);
    bytes_[c] = static_cast<int16_t>(byte);
  }
}

std::optional<std::string> ByteAlphabet::Decode(std::string_view text) const {
  std::string bytes;
  for (size_t offset = 0; offset < text.size();) {
    const ValidChar next = CharAt(text, offset);
    if (next.code_point >= bytes_.size() || bytes_[next.code_point] < 0) {
      return std::nullopt;
    }
    bytes.push_back(static_cast<char>(bytes_[next.code_point]));
    offset += next.num_bytes;
  }
  return bytes;
}

}  // namespace hadal
