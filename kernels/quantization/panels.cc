#include "kernels/quantization/panels.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <span>

#include "base/check.h"
#include "kernels/quantization/int4_group.h"
#include "kernels/quantization/lanes.h"

namespace hadal {
namespace {

constexpr int64_t kNeighbours = 4;  // columns of a row that lie side by side
static_assert(kNeighbours == lanes::kNumLanes);

using lanes::Floats;

uint32_t HeaderAt(const std::byte* group, int64_t row) {
  uint32_t header = 0;
  std::memcpy(&header, group + row * 4, sizeof(header));
  return header;
}

void SetHeader(std::byte* group, int64_t row, uint32_t header) {
  std::memcpy(group + row * 4, &header, sizeof(header));
}

// The place of (row, column i of a group): a byte, and for kInt4 which half of it.
int64_t Int8Place(int64_t row, int64_t i) {
  return kGroupHeaderBytes + i / 4 * kGroupHeaderBytes + row * 4 + i % 4;
}
int64_t Int4Place(int64_t row, int64_t i) {
  return kGroupHeaderBytes + i / kChunkCols * ChunkBytes(WeightFormat::kInt4) +
         i % kSubgroupCols / 4 * kGroupHeaderBytes + row * 4 + i % 4;
}
bool IsUpperHalf(int64_t i) {
  return i % kChunkCols >= kSubgroupCols;
}

// x[i], …, x[i + 3], with zeros behind the end.
Floats LoadSome(std::span<const float> x, int64_t i) {
  if (i + lanes::kNumLanes <= std::ssize(x)) {
    return lanes::Load(x.data() + i);
  }
  Floats some = {};
  for (int64_t lane = 0; i + lane < std::ssize(x); ++lane) {
    some[lane] = x[static_cast<size_t>(i + lane)];
  }
  return some;
}

float Magnitude(std::span<const float> x) {
  Floats highest = {};
  for (int64_t i = 0; i < std::ssize(x); i += lanes::kNumLanes) {
    const Floats part = LoadSome(x, i);
    highest = lanes::Max(highest, lanes::Max(part, -part));
  }
  return std::max(std::max(highest[0], highest[1]), std::max(highest[2], highest[3]));
}

bool AreFinite(std::span<const float> x) {
  Floats zeros = {};  // unless something is not finite
  for (int64_t i = 0; i < std::ssize(x); i += lanes::kNumLanes) {
    zeros += LoadSome(x, i) * 0.0F;
  }
  return lanes::Sum(zeros) == 0;
}

void QuantizeGroupInt8(std::span<const float> x, int64_t row, std::byte* group) {
  const float scale = Magnitude(x) / 127.0F;
  // The inverse of a scale that is no normal number would be infinite.
  const float inverse = std::isnormal(scale) ? 1.0F / scale : 0.0F;
  SetHeader(group, row, std::bit_cast<uint32_t>(std::isnormal(scale) ? scale : 0.0F));
  for (int64_t i = 0; i < PaddedCols(std::ssize(x)); i += kNeighbours) {
    const Floats values = lanes::Nearest(lanes::Min(
        lanes::Max(LoadSome(x, i) * inverse, lanes::Broadcast(-127.0F)), lanes::Broadcast(127.0F)));
    const lanes::Ints bytes = (__builtin_convertvector(values, lanes::Ints) + kInt8Offset)
                              << lanes::Ints{0, 8, 16, 24};
    const int32_t word = bytes[0] | bytes[1] | bytes[2] | bytes[3];
    std::memcpy(group + Int8Place(row, i), &word, sizeof(word));
  }
}

void QuantizeGroupInt4(std::span<const float> x, int64_t row, std::byte* group) {
  const Int4Group rounded = RoundToInt4(x);
  uint32_t header = std::bit_cast<uint32_t>(rounded.scale);
  for (size_t s = 0; s < rounded.multipliers.size(); ++s) {
    header |= static_cast<uint32_t>(rounded.multipliers[s]) << (4 * s);
  }
  SetHeader(group, row, header);
  for (int64_t chunk = 0; chunk < PaddedCols(std::ssize(x)); chunk += kChunkCols) {
    for (int64_t i = chunk; i < chunk + kSubgroupCols; ++i) {
      const int32_t lower = rounded.values[static_cast<size_t>(i)] + kInt4Offset;
      const int32_t upper = rounded.values[static_cast<size_t>(i + kSubgroupCols)] + kInt4Offset;
      group[Int4Place(row, i)] = static_cast<std::byte>(lower | upper << 4);
    }
  }
}

// Zero everywhere: for rows and columns that fill up.
void ClearPanel(WeightFormat format, int64_t cols, std::byte* panel) {
  const auto zero = format == WeightFormat::kInt4 ? std::byte{0x88} : std::byte{kInt8Offset};
  std::fill_n(panel, PanelBytes(format, cols), zero);
  for (int64_t group = 0; group < NumGroups(cols); ++group) {
    std::fill_n(panel + group * GroupBytes(format), kGroupHeaderBytes, std::byte{0});
  }
}

}  // namespace

float PanelAt(const WeightMatrix& weight, int64_t row, int64_t col) {
  const std::byte* group = static_cast<const std::byte*>(weight.payload) +
                           row / kPanelRows * PanelBytes(weight.format, weight.cols) +
                           col / kGroupCols * GroupBytes(weight.format);
  const uint32_t header = HeaderAt(group, row % kPanelRows);
  const int64_t i = col % kGroupCols;
  if (weight.format == WeightFormat::kInt8) {
    const auto value = static_cast<int32_t>(group[Int8Place(row % kPanelRows, i)]) - kInt8Offset;
    return std::bit_cast<float>(header) * static_cast<float>(value);
  }
  CHECK(weight.format == WeightFormat::kInt4);
  const auto both = static_cast<int32_t>(group[Int4Place(row % kPanelRows, i)]);
  const int32_t value = (IsUpperHalf(i) ? both / 16 : both % 16) - kInt4Offset;
  const auto multiplier = static_cast<int32_t>(header >> (4 * (i / kSubgroupCols)) & 0xFU);
  return std::bit_cast<float>(header & 0xFFFF0000U) * static_cast<float>(multiplier * value);
}

bool QuantizePanel(const WeightMatrix& source,
                   int64_t panel,
                   WeightFormat format,
                   float* row_buffer,
                   std::byte* out) {
  CHECK(IsQuantized(format) && !IsQuantized(source.format));
  ClearPanel(format, source.cols, out);
  const int64_t first = panel * kPanelRows;
  const std::span<const float> row(row_buffer, static_cast<size_t>(source.cols));
  for (int64_t r = 0; r < std::min(kPanelRows, source.rows - first); ++r) {
    WidenRow(source, first + r, row_buffer);
    if (!AreFinite(row)) {
      return false;
    }
    for (int64_t group = 0; group < NumGroups(source.cols); ++group) {
      const auto begin = static_cast<size_t>(group * kGroupCols);
      const auto part = row.subspan(begin, std::min<size_t>(kGroupCols, row.size() - begin));
      std::byte* place = out + group * GroupBytes(format);
      format == WeightFormat::kInt8 ? QuantizeGroupInt8(part, r, place)
                                    : QuantizeGroupInt4(part, r, place);
    }
  }
  return true;
}

}  // namespace hadal
