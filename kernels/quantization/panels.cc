#include "kernels/quantization/panels.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <span>

#include "base/check.h"

namespace hadal {
namespace {

constexpr size_t kSubgroups = kGroupCols / kSubgroupCols;
constexpr int32_t kMostMultiplier = 15;

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

float Magnitude(std::span<const float> x) {
  float magnitude = 0;
  for (const float value : x) {
    magnitude = std::max(magnitude, std::abs(value));
  }
  return magnitude;
}

void QuantizeGroupInt8(std::span<const float> x, int64_t row, std::byte* group) {
  const float magnitude = Magnitude(x);
  const float scale = magnitude / 127.0F;
  // The inverse of a scale that is no normal number would be infinite.
  const float inverse = std::isnormal(scale) ? 1.0F / scale : 0.0F;
  SetHeader(group, row, std::bit_cast<uint32_t>(std::isnormal(scale) ? scale : 0.0F));
  for (int64_t i = 0; i < std::ssize(x); ++i) {
    const float value =
        std::clamp(std::nearbyint(x[static_cast<size_t>(i)] * inverse), -127.0F, 127.0F);
    group[Int8Place(row, i)] = static_cast<std::byte>(static_cast<int32_t>(value) + kInt8Offset);
  }
}

// A subgroup in units of `step`.
struct Int4Fit {
  float error = 0;  // sum of squares
  std::array<int8_t, kSubgroupCols> values = {};
};

Int4Fit FitInt4(std::span<const float> x, float step) {
  Int4Fit fit;
  const float inverse = 1.0F / step;
  for (size_t i = 0; i < x.size(); ++i) {
    const float value = std::clamp(std::nearbyint(x[i] * inverse), -8.0F, 7.0F);
    const float error = x[i] - value * step;
    fit.values[i] = static_cast<int8_t>(value);
    fit.error += error * error;
  }
  return fit;
}

// One row's group under one scale: each subgroup with the multiplier that fits it best.
struct Int4Group {
  float error = 0;
  uint32_t multipliers = 0;
  std::array<Int4Fit, kSubgroups> fits;
};

Int4Group FitGroup(std::span<const float> x, float scale) {
  Int4Group group;
  for (size_t s = 0; s * kSubgroupCols < x.size(); ++s) {
    const auto part =
        x.subspan(s * kSubgroupCols, std::min<size_t>(kSubgroupCols, x.size() - s * kSubgroupCols));
    // The step that reaches the largest magnitude with 8, and those around it: a finer one clips
    // the largest and rounds all others less.
    const auto reach =
        static_cast<int32_t>(std::nearbyint(Magnitude(part) / (8 * std::abs(scale))));
    int32_t best = 0;
    for (int32_t m = std::max(1, reach - 2); m <= std::min(kMostMultiplier, reach + 1); ++m) {
      const Int4Fit fit = FitInt4(part, static_cast<float>(m) * scale);
      if (best == 0 || fit.error < group.fits[s].error) {
        best = m;
        group.fits[s] = fit;
      }
    }
    group.error += group.fits[s].error;
    group.multipliers |= static_cast<uint32_t>(best) << (4 * s);
  }
  return group;
}

void QuantizeGroupInt4(std::span<const float> x, int64_t row, std::byte* group) {
  const float magnitude = Magnitude(x);
  // With the highest multiplier the largest magnitude becomes about 8 steps. A negative scale turns
  // the range from -8 to 7 around.
  Int4Group best;
  float best_scale = 0;
  for (const float reach : {6.5F, 7.0F, 7.5F, 8.0F, 8.5F, -6.5F, -7.0F, -7.5F, -8.0F, -8.5F}) {
    const float scale = ToFloat(ToBf16(magnitude / (reach * static_cast<float>(kMostMultiplier))));
    if (!std::isnormal(scale)) {
      continue;
    }
    const Int4Group candidate = FitGroup(x, scale);
    if (best_scale == 0 || candidate.error < best.error) {
      best = candidate;
      best_scale = scale;
    }
  }
  SetHeader(group, row, std::bit_cast<uint32_t>(best_scale) | best.multipliers);
  for (int64_t i = 0; i < std::ssize(x); ++i) {
    const Int4Fit& fit = best.fits[static_cast<size_t>(i / kSubgroupCols)];
    const int32_t value = fit.values[static_cast<size_t>(i % kSubgroupCols)] + kInt4Offset;
    std::byte& place = group[Int4Place(row, i)];
    place = IsUpperHalf(i) ? (place & std::byte{0x0F}) | static_cast<std::byte>(value * 16)
                           : (place & std::byte{0xF0}) | static_cast<std::byte>(value);
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
    if (!std::all_of(row.begin(), row.end(), [](float x) { return std::isfinite(x); })) {
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
