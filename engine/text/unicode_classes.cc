#include "engine/text/unicode_classes.h"

#include <algorithm>
#include <array>
#include <iterator>

namespace hadal {
namespace {

struct Row {
  char32_t first;
  CharClass classes;
};

constexpr Row kRows[] = {
#include "engine/text/unicode_tables.inc"
};

constexpr size_t kBmpSize = 0x10000;

constexpr std::array<CharClass, kBmpSize> MakeBmpTable() {
  std::array<CharClass, kBmpSize> table = {};
  for (size_t row = 0; row < std::size(kRows) && kRows[row].first < kBmpSize; ++row) {
    const size_t end = row + 1 < std::size(kRows) && kRows[row + 1].first < kBmpSize
                           ? kRows[row + 1].first
                           : kBmpSize;
    for (size_t c = kRows[row].first; c < end; ++c) {
      table[c] = kRows[row].classes;
    }
  }
  return table;
}

constexpr std::array<CharClass, kBmpSize> kBmpTable = MakeBmpTable();

}  // namespace

CharClass ClassOf(char32_t code_point) {
  if (code_point < kBmpSize) {
    return kBmpTable[code_point];
  }
  if (code_point > 0x10FFFF) {
    return 0;
  }
  const Row* next = std::upper_bound(
      std::begin(kRows), std::end(kRows), code_point, [](char32_t c, const Row& row) {
        return c < row.first;
      });
  return std::prev(next)->classes;
}

}  // namespace hadal
