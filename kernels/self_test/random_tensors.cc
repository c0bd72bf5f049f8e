#include "kernels/self_test/random_tensors.h"

#include <cmath>
#include <memory>
#include <numeric>

#include "base/check.h"
#include "kernels/quantization/panels.h"

namespace hadal::self_test {
namespace {

template <typename T>
void Append(T element, std::vector<std::byte>& bytes) {
  const auto* begin = reinterpret_cast<const std::byte*>(&element);
  bytes.insert(bytes.end(), begin, begin + sizeof(T));
}

void AppendAs(WeightFormat format, float value, std::vector<std::byte>& bytes) {
  switch (format) {
    case WeightFormat::kF32:
      return Append(value, bytes);
    case WeightFormat::kBf16:
      return Append(ToBf16(value), bytes);
    case WeightFormat::kF16:
      return Append(ToF16(value), bytes);
    case WeightFormat::kFp8Block:
      return Append(ToFp8E4m3(value), bytes);
    case WeightFormat::kInt8:
    case WeightFormat::kInt4:
      break;
  }
  CHECK(false);
}

}  // namespace

std::vector<int32_t> Random::Permutation(int64_t count) {
  std::vector<int32_t> order(static_cast<size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  std::shuffle(order.begin(), order.end(), engine_);
  return order;
}

void FillWithGuards(void* data, size_t size_bytes) {
  auto* bytes = static_cast<uint8_t*>(data);
  for (size_t i = 0; i < size_bytes; ++i) {
    bytes[i] = i % 2 == 0 ? 0xC5 : 0x7F;
  }
}

std::string NameOf(const WeightSpec& spec) {
  switch (spec.format) {
    case WeightFormat::kF32:
      return "F32";
    case WeightFormat::kBf16:
      return "Bf16";
    case WeightFormat::kF16:
      return "F16";
    case WeightFormat::kFp8Block:
      return "Fp8Block" + std::to_string(spec.block_rows) + "x" + std::to_string(spec.block_cols);
    case WeightFormat::kInt8:
      return "Int8";
    case WeightFormat::kInt4:
      return "Int4";
  }
  CHECK(false);
}

std::vector<WeightSpec> AllWeightSpecs() {
  return {{.format = WeightFormat::kF32},
          {.format = WeightFormat::kBf16},
          {.format = WeightFormat::kF16},
          {.format = WeightFormat::kFp8Block, .block_rows = 128, .block_cols = 128},
          {.format = WeightFormat::kFp8Block, .block_rows = 5, .block_cols = 24},
          {.format = WeightFormat::kFp8Block, .block_rows = 32, .block_cols = 7},
          {.format = WeightFormat::kInt8},
          {.format = WeightFormat::kInt4}};
}

WeightBuffer::WeightBuffer(const WeightSpec& spec,
                           int64_t rows,
                           int64_t cols,
                           const std::vector<float>& values) {
  CHECK_EQ(std::ssize(values), rows * cols);
  if (IsQuantized(spec.format)) {
    Quantize(spec.format, rows, cols, values);
    return;
  }
  for (const float value : values) {
    AppendAs(spec.format, value, payload_);
  }
  matrix_ = {.format = spec.format, .rows = rows, .cols = cols, .payload = payload_.data()};
  if (spec.format == WeightFormat::kFp8Block) {
    const int64_t blocks_down = (rows + spec.block_rows - 1) / spec.block_rows;
    const int64_t blocks_across = (cols + spec.block_cols - 1) / spec.block_cols;
    scales_.assign(static_cast<size_t>(blocks_down * blocks_across), 1.0F);
    matrix_.scales = scales_.data();
    matrix_.block_rows = spec.block_rows;
    matrix_.block_cols = spec.block_cols;
  }
}

void WeightBuffer::Quantize(WeightFormat format,
                            int64_t rows,
                            int64_t cols,
                            const std::vector<float>& values) {
  constexpr size_t kAlignment = 64;
  const WeightMatrix source = {
      .format = WeightFormat::kF32, .rows = rows, .cols = cols, .payload = values.data()};
  const int64_t panel_bytes = PanelBytes(format, cols);
  payload_.resize(static_cast<size_t>(NumPanels(rows) * panel_bytes) + kAlignment);
  void* aligned = payload_.data();
  size_t space = payload_.size();
  CHECK(std::align(kAlignment, payload_.size() - kAlignment, aligned, space) != nullptr);
  std::vector<float> row(static_cast<size_t>(cols));
  for (int64_t panel = 0; panel < NumPanels(rows); ++panel) {
    CHECK(QuantizePanel(
        source, panel, format, row.data(), static_cast<std::byte*>(aligned) + panel * panel_bytes));
  }
  matrix_ = {.format = format, .rows = rows, .cols = cols, .payload = aligned};
}

WeightBuffer WeightBuffer::MakeRandom(const WeightSpec& spec,
                                      int64_t rows,
                                      int64_t cols,
                                      Random& random) {
  // Fp8 payloads get a standard deviation of 16, so that subnormals and large values both occur.
  const float deviation = 1.0F / std::sqrt(static_cast<float>(cols));
  const float unit = spec.format == WeightFormat::kFp8Block ? 16.0F : deviation;
  std::vector<float> values(static_cast<size_t>(rows * cols));
  for (float& value : values) {
    value = unit * random.Normal();
  }
  WeightBuffer buffer(spec, rows, cols, values);
  for (float& scale : buffer.scales_) {
    scale = deviation / unit * random.Uniform(0.25F, 2.0F);
  }
  return buffer;
}

std::vector<double> WeightBuffer::Values() const {
  std::vector<double> values;
  for (int64_t row = 0; row < matrix_.rows; ++row) {
    for (int64_t col = 0; col < matrix_.cols; ++col) {
      values.push_back(double{WeightAt(matrix_, row, col)});
    }
  }
  return values;
}

}  // namespace hadal::self_test
