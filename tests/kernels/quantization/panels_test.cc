#include "kernels/quantization/panels.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/self_test/random_tensors.h"

namespace hadal {
namespace {

using self_test::Random;
using self_test::WeightBuffer;

std::vector<float> RandomValues(int64_t count, uint32_t seed) {
  Random random(seed);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) {
    value = random.Normal();
  }
  return values;
}

double RmsError(const WeightMatrix& matrix, const std::vector<float>& values) {
  double sum = 0;
  for (int64_t row = 0; row < matrix.rows; ++row) {
    for (int64_t col = 0; col < matrix.cols; ++col) {
      const double error =
          WeightAt(matrix, row, col) - values[static_cast<size_t>(row * matrix.cols + col)];
      sum += error * error;
    }
  }
  return std::sqrt(sum / static_cast<double>(values.size()));
}

TEST(PanelsTest, SizesAreThoseOfTheLayout) {
  EXPECT_EQ(PanelBytes(WeightFormat::kInt8, 128), 64 + 16 * 128);
  EXPECT_EQ(PanelBytes(WeightFormat::kInt4, 128), 64 + 16 * 64);
  EXPECT_EQ(PanelBytes(WeightFormat::kInt8, 129), 2 * 64 + 16 * 192);
  EXPECT_EQ(PanelBytes(WeightFormat::kInt4, 1), 64 + 16 * 32);
  EXPECT_EQ(SizeBytes({.format = WeightFormat::kInt4, .rows = 17, .cols = 256}),
            2 * (2 * 64 + 16 * 128));
}

TEST(PanelsTest, Int8IsWithinHalfAStepOfItsGroup) {
  for (const int64_t cols : {1, 60, 128, 200, 257}) {
    const std::vector<float> values = RandomValues(19 * cols, 3);
    const WeightBuffer buffer({.format = WeightFormat::kInt8}, 19, cols, values);
    for (int64_t row = 0; row < 19; ++row) {
      for (int64_t col = 0; col < cols; ++col) {
        const float* begin = values.data() + row * cols + col / kGroupCols * kGroupCols;
        const float* end =
            values.data() + std::min((col / kGroupCols + 1) * kGroupCols, cols) + row * cols;
        float magnitude = 0;
        for (const float* value = begin; value != end; ++value) {
          magnitude = std::max(magnitude, std::abs(*value));
        }
        EXPECT_LE(std::abs(WeightAt(buffer.matrix(), row, col) -
                           values[static_cast<size_t>(row * cols + col)]),
                  magnitude / 127 * 0.501F);
      }
    }
  }
}

// Round to nearest with a step for each 32 columns that reaches their largest magnitude with 8, the
// common 4-bit format, errs by 0.088 of the deviation; the search must do better than that.
TEST(PanelsTest, Int4IsBetterThanRoundingToTheLargestOf32) {
  constexpr int64_t kRows = 64;
  constexpr int64_t kCols = 1024;
  const std::vector<float> values = RandomValues(kRows * kCols, 4);
  const WeightBuffer buffer({.format = WeightFormat::kInt4}, kRows, kCols, values);
  std::vector<double> plain;
  for (size_t begin = 0; begin < values.size(); begin += 32) {
    float highest = 0;
    for (size_t i = begin; i < begin + 32; ++i) {
      highest = std::abs(values[i]) > std::abs(highest) ? values[i] : highest;
    }
    const float step = highest / -8;
    for (size_t i = begin; i < begin + 32; ++i) {
      plain.push_back(std::clamp(std::nearbyint(values[i] / step), -8.0F, 7.0F) * step - values[i]);
    }
  }
  double plain_error = 0;
  for (const double error : plain) {
    plain_error += error * error;
  }
  plain_error = std::sqrt(plain_error / static_cast<double>(plain.size()));
  EXPECT_LT(RmsError(buffer.matrix(), values), plain_error);
}

// Weights that the format can express come back as they were.
TEST(PanelsTest, Int4KeepsWhatItCanExpress) {
  constexpr int64_t kCols = 128;
  Random random(5);
  std::vector<float> values(static_cast<size_t>(3 * kCols));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] =
        i % 32 == 0 ? -8.0F * 15 * 0.25F : static_cast<float>(random.Below(16) - 8) * 15 * 0.25F;
  }
  const WeightBuffer buffer({.format = WeightFormat::kInt4}, 3, kCols, values);
  EXPECT_EQ(RmsError(buffer.matrix(), values), 0);
}

TEST(PanelsTest, ZeroRowsAndTinyNumbersStayFinite) {
  for (const float value : {0.0F, 1e-45F, 1e-38F}) {
    for (const WeightFormat format : {WeightFormat::kInt8, WeightFormat::kInt4}) {
      const WeightBuffer buffer({.format = format}, 2, 100, std::vector<float>(200, value));
      EXPECT_LE(std::abs(WeightAt(buffer.matrix(), 1, 99) - value), 2e-38F);
    }
  }
}

TEST(PanelsTest, WhatIsNotFiniteIsRefused) {
  for (const float value :
       {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    for (const WeightFormat format : {WeightFormat::kInt8, WeightFormat::kInt4}) {
      std::vector<float> values(20 * 70, 1.0F);
      values[17 * 70 + 69] = value;
      const WeightMatrix source = {
          .format = WeightFormat::kF32, .rows = 20, .cols = 70, .payload = values.data()};
      std::vector<float> row(70);
      std::vector<std::byte> out(static_cast<size_t>(PanelBytes(format, 70)));
      EXPECT_TRUE(QuantizePanel(source, 0, format, row.data(), out.data()));
      EXPECT_FALSE(QuantizePanel(source, 1, format, row.data(), out.data()));
    }
  }
}

}  // namespace
}  // namespace hadal
