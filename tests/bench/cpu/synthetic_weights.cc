#include "tests/bench/cpu/synthetic_weights.h"

#include <cstring>
#include <utility>

#include "base/check.h"
#include "kernels/quantization/panels.h"

namespace hadal::bench {
namespace {

// Marsaglia 2003, "Xorshift RNGs".
uint64_t Next(uint64_t& state) {
  state ^= state << 13U;
  state ^= state >> 7U;
  state ^= state << 17U;
  return state;
}

}  // namespace

WeightMatrix SyntheticWeights::Matrix(WeightFormat format, int64_t rows, int64_t cols) {
  WeightMatrix matrix = {.format = format, .rows = rows, .cols = cols};
  const auto size = static_cast<size_t>(SizeBytes(matrix));
  auto buffer = DeviceBuffer::Allocate(CpuDevice(), (size + 7) / 8 * 8);
  CHECK(buffer.ok());
  auto* words = static_cast<uint64_t*>(buffer->data());
  for (size_t i = 0; i < (size + 7) / 8; ++i) {
    words[i] = Next(state_);
    if (format == WeightFormat::kBf16) {
      // Four numbers in 2^-7..2^-6 of either sign.
      words[i] = (words[i] & 0x807F807F807F807FU) | 0x3C003C003C003C00U;
    }
  }
  if (IsQuantized(format)) {
    // float 2^-13, or bf16 2^-13 with multipliers of 8.
    const uint32_t header = format == WeightFormat::kInt8 ? 0x39000000U : 0x39008888U;
    auto* bytes = static_cast<std::byte*>(buffer->data());
    for (int64_t panel = 0; panel < NumPanels(rows); ++panel) {
      for (int64_t group = 0; group < NumGroups(cols); ++group) {
        std::byte* place = bytes + panel * PanelBytes(format, cols) + group * GroupBytes(format);
        for (int64_t row = 0; row < kPanelRows; ++row) {
          std::memcpy(place + row * 4, &header, sizeof(header));
        }
      }
    }
  }
  matrix.payload = buffer->data();
  buffers_.push_back(*std::move(buffer));
  return matrix;
}

MlpWeights SyntheticWeights::Mlp(WeightFormat format,
                                 int64_t hidden_size,
                                 int64_t intermediate_size) {
  return {.gate_proj = Matrix(format, intermediate_size, hidden_size),
          .up_proj = Matrix(format, intermediate_size, hidden_size),
          .down_proj = Matrix(format, hidden_size, intermediate_size)};
}

}  // namespace hadal::bench
