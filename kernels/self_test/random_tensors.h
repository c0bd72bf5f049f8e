#pragma once

// Tensors and weight matrices of random numbers for kernel tests, laid out to catch writes outside
// of a view: guards of a fixed pattern lie before, after and between the rows.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "base/tensor_view.h"
#include "kernels/weight_matrix.h"

namespace hadal::self_test {

/// A seeded source of random numbers. One thread.
class Random {
 public:
  explicit Random(uint32_t seed) : engine_(seed) {}

  float Normal() { return normal_(engine_); }
  float Uniform(float low, float high) { return low + (high - low) * Fraction(); }
  /// In [0, bound).
  int64_t Below(int64_t bound) {
    return static_cast<int64_t>(engine_()) % bound;  // the tests need no exact uniformity
  }
  /// A permutation of 0 .. count - 1.
  std::vector<int32_t> Permutation(int64_t count);

 private:
  float Fraction() { return static_cast<float>(engine_() >> 8U) * 0x1p-24F; }

  std::mt19937 engine_;
  std::normal_distribution<float> normal_;
};

/// Fills memory with the guard pattern: NaN as a float or bf16, a large number as an integer.
void FillWithGuards(void* data, size_t size_bytes);

/// Owns a tensor whose entries of the first dimension lie kGuard elements apart. Fresh elements
/// hold the guard pattern.
template <typename T, size_t Rank>
class GuardedTensor {
 public:
  static constexpr int64_t kGuard = 5;

  template <typename... Extent>
  explicit GuardedTensor(Extent... extent) {
    view_ = MakeView(static_cast<T*>(nullptr), extent...);
    if constexpr (Rank > 1) {
      view_.strides[0] += kGuard;
    }
    const int64_t entries = Rank > 1 ? view_.extents[0] * view_.strides[0] : view_.extents[0];
    storage_.resize(static_cast<size_t>(entries + 2 * kGuard));
    Poison();
    view_.data = storage_.data() + kGuard;
  }
  GuardedTensor(const GuardedTensor&) = delete;
  GuardedTensor& operator=(const GuardedTensor&) = delete;
  GuardedTensor(GuardedTensor&&) noexcept = default;
  GuardedTensor& operator=(GuardedTensor&&) noexcept = default;
  ~GuardedTensor() = default;

  [[nodiscard]] const TensorView<T, Rank>& view() const { return view_; }
  [[nodiscard]] TensorView<const T, Rank> input() const { return view_; }

  void Poison() { FillWithGuards(storage_.data(), storage_.size() * sizeof(T)); }

  /// Sets each element, in order, to next().
  template <typename Next>
  void Fill(Next next) {
    for (const int64_t offset : ElementOffsets()) {
      view_.data[offset] = next();
    }
  }

  /// The elements in order, without guards.
  [[nodiscard]] std::vector<T> Elements() const {
    std::vector<T> elements;
    for (const int64_t offset : ElementOffsets()) {
      elements.push_back(view_.data[offset]);
    }
    return elements;
  }

  /// True when no byte outside of the elements has changed.
  [[nodiscard]] bool GuardsIntact() const {
    std::vector<T> expected(storage_.size());
    FillWithGuards(expected.data(), expected.size() * sizeof(T));
    for (const int64_t offset : ElementOffsets()) {
      expected[static_cast<size_t>(offset + kGuard)] = view_.data[offset];
    }
    return std::memcmp(expected.data(), storage_.data(), storage_.size() * sizeof(T)) == 0;
  }

  /// All bytes, for a comparison before and after a call.
  [[nodiscard]] std::string Bytes() const {
    return {reinterpret_cast<const char*>(storage_.data()), storage_.size() * sizeof(T)};
  }

 private:
  [[nodiscard]] std::vector<int64_t> ElementOffsets() const {
    std::vector<int64_t> offsets;
    const int64_t num_rows = Rank > 1 ? view_.extents[0] : 1;
    const int64_t row_size = num_rows > 0 ? view_.num_elements() / num_rows : 0;
    for (int64_t row = 0; row < num_rows; ++row) {
      for (int64_t i = 0; i < row_size; ++i) {
        offsets.push_back((Rank > 1 ? row * view_.strides[0] : 0) + i);
      }
    }
    return offsets;
  }

  std::vector<T> storage_;
  TensorView<T, Rank> view_;
};

/// A format, with its block for kFp8Block.
struct WeightSpec {
  WeightFormat format = WeightFormat::kF32;
  int64_t block_rows = 0;
  int64_t block_cols = 0;
};

/// "F32", "Fp8Block48x80": usable in the name of a test.
std::string NameOf(const WeightSpec& spec);

/// Every format, fp8 with the published block and with blocks that fit nothing.
std::vector<WeightSpec> AllWeightSpecs();

/// Owns a weight matrix. The matrix stays valid when the buffer moves.
class WeightBuffer {
 public:
  /// `values` [rows * cols], rounded to the format; with kFp8Block every scale is 1.
  WeightBuffer(const WeightSpec& spec,
               int64_t rows,
               int64_t cols,
               const std::vector<float>& values);
  WeightBuffer(const WeightBuffer&) = delete;
  WeightBuffer& operator=(const WeightBuffer&) = delete;
  WeightBuffer(WeightBuffer&&) noexcept = default;
  WeightBuffer& operator=(WeightBuffer&&) noexcept = default;
  ~WeightBuffer() = default;

  /// Normal numbers of variance 1 / cols; with kFp8Block, each block with a scale of its own.
  static WeightBuffer MakeRandom(const WeightSpec& spec,
                                 int64_t rows,
                                 int64_t cols,
                                 Random& random);

  [[nodiscard]] const WeightMatrix& matrix() const { return matrix_; }

  /// The values, as WeightAt gives them, [rows * cols].
  [[nodiscard]] std::vector<double> Values() const;

 private:
  void Quantize(WeightFormat format, int64_t rows, int64_t cols, const std::vector<float>& values);

  std::vector<std::byte> payload_;
  std::vector<float> scales_;
  WeightMatrix matrix_;
};

}  // namespace hadal::self_test
