#include "base/utf8.h"

#include <algorithm>
#include <array>

#include "base/check.h"

namespace hadal {
namespace {

struct Lead {
  int32_t num_bytes;     // of the whole character; 0 for a byte that starts none
  uint8_t second_first;  // the allowed range of the second byte
  uint8_t second_last;
};

// Table 3-7 of the Unicode standard: well-formed byte sequences by lead byte.
Lead LeadOf(uint8_t byte) {
  if (byte < 0x80) {
    return {1, 0, 0};
  }
  if (byte < 0xC2 || byte > 0xF4) {
    return {0, 0, 0};
  }
  if (byte < 0xE0) {
    return {2, 0x80, 0xBF};
  }
  if (byte < 0xF0) {
    return {3,
            static_cast<uint8_t>(byte == 0xE0 ? 0xA0 : 0x80),
            static_cast<uint8_t>(byte == 0xED ? 0x9F : 0xBF)};
  }
  return {4,
          static_cast<uint8_t>(byte == 0xF0 ? 0x90 : 0x80),
          static_cast<uint8_t>(byte == 0xF4 ? 0x8F : 0xBF)};
}

// How many bytes of `text` fit the form of its lead byte: the maximal subpart.
size_t MatchingBytes(std::string_view text, const Lead& lead) {
  size_t matched = 1;
  const size_t wanted = std::min(text.size(), static_cast<size_t>(lead.num_bytes));
  while (matched < wanted) {
    const auto byte = static_cast<uint8_t>(text[matched]);
    const uint8_t first = matched == 1 ? lead.second_first : 0x80;
    const uint8_t last = matched == 1 ? lead.second_last : 0xBF;
    if (byte < first || byte > last) {
      break;
    }
    ++matched;
  }
  return matched;
}

}  // namespace

Utf8Char DecodeUtf8(std::string_view text) {
  if (text.empty()) {
    return {};
  }
  const auto first = static_cast<uint8_t>(text[0]);
  if (first < 0x80) {
    return {first, 1};
  }
  const Lead lead = LeadOf(first);
  if (lead.num_bytes == 0 || MatchingBytes(text, lead) < static_cast<size_t>(lead.num_bytes)) {
    return {};
  }
  constexpr std::array<uint8_t, 5> kLeadMask = {0, 0x7F, 0x1F, 0x0F, 0x07};
  auto code_point = static_cast<char32_t>(first & kLeadMask[static_cast<size_t>(lead.num_bytes)]);
  for (int32_t i = 1; i < lead.num_bytes; ++i) {
    code_point = (code_point << 6U) | (static_cast<uint8_t>(text[static_cast<size_t>(i)]) & 0x3FU);
  }
  return {code_point, lead.num_bytes};
}

void AppendUtf8(char32_t code_point, std::string& out) {
  CHECK(code_point <= 0x10FFFF && (code_point < 0xD800 || code_point > 0xDFFF));
  const auto append = [&out](char32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (code_point < 0x80) {
    append(code_point);
  } else if (code_point < 0x800) {
    append(0xC0U | (code_point >> 6U));
    append(0x80U | (code_point & 0x3FU));
  } else if (code_point < 0x10000) {
    append(0xE0U | (code_point >> 12U));
    append(0x80U | ((code_point >> 6U) & 0x3FU));
    append(0x80U | (code_point & 0x3FU));
  } else {
    append(0xF0U | (code_point >> 18U));
    append(0x80U | ((code_point >> 12U) & 0x3FU));
    append(0x80U | ((code_point >> 6U) & 0x3FU));
    append(0x80U | (code_point & 0x3FU));
  }
}

size_t ValidUtf8Prefix(std::string_view text) {
  size_t offset = 0;
  while (offset < text.size()) {
    const Utf8Char next = DecodeUtf8(text.substr(offset));
    if (next.num_bytes == 0) {
      break;
    }
    offset += static_cast<size_t>(next.num_bytes);
  }
  return offset;
}

size_t InvalidUtf8Length(std::string_view text) {
  CHECK(!text.empty());
  const Lead lead = LeadOf(static_cast<uint8_t>(text[0]));
  return lead.num_bytes == 0 ? 1 : MatchingBytes(text, lead);
}

bool IsIncompleteUtf8(std::string_view text) {
  if (text.empty()) {
    return false;
  }
  const Lead lead = LeadOf(static_cast<uint8_t>(text[0]));
  return text.size() < static_cast<size_t>(lead.num_bytes) &&
         MatchingBytes(text, lead) == text.size();
}

std::string ReplaceInvalidUtf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const size_t valid = ValidUtf8Prefix(text);
    out.append(text.substr(0, valid));
    text.remove_prefix(valid);
    if (!text.empty()) {
      out.append("\xEF\xBF\xBD");
      text.remove_prefix(InvalidUtf8Length(text));
    }
  }
  return out;
}

}  // namespace hadal
