#include "kernels/quantization/int8_row.h"

#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/self_test/random_tensors.h"

namespace hadal {
namespace {

struct Rounded {
  explicit Rounded(const std::vector<float>& x)
      : values(static_cast<size_t>(PaddedCols(std::ssize(x))), int8_t{99}),
        scales(static_cast<size_t>(NumGroups(std::ssize(x)))),
        sums(values.size() / kSubgroupCols) {
    RoundToInt8(x, values.data(), scales.data(), sums.data());
  }

  [[nodiscard]] float At(size_t i) const {
    return static_cast<float>(values[i]) * scales[i / kGroupCols];
  }

  std::vector<int8_t> values;
  std::vector<float> scales;
  std::vector<int32_t> sums;
};

TEST(Int8RowTest, EachGroupIsWithinHalfAStepOfItsLargest) {
  self_test::Random random(1);
  for (const size_t cols : {1, 31, 64, 65, 128, 129, 300}) {
    std::vector<float> x(cols);
    for (float& value : x) {
      value = random.Normal() * (random.Below(20) == 0 ? 50.0F : 1.0F);
    }
    const Rounded rounded(x);
    for (size_t i = 0; i < cols; ++i) {
      const size_t begin = i / kGroupCols * kGroupCols;
      float magnitude = 0;
      for (size_t j = begin; j < std::min(cols, begin + kGroupCols); ++j) {
        magnitude = std::max(magnitude, std::abs(x[j]));
      }
      EXPECT_LE(std::abs(rounded.At(i) - x[i]), magnitude / 127 * 0.501F) << cols << ", " << i;
    }
    for (size_t i = cols; i < rounded.values.size(); ++i) {
      EXPECT_EQ(rounded.values[i], 0);
    }
    for (size_t s = 0; s < rounded.sums.size(); ++s) {
      const auto first = rounded.values.begin() + static_cast<int64_t>(s) * kSubgroupCols;
      EXPECT_EQ(rounded.sums[s], std::accumulate(first, first + kSubgroupCols, 0));
    }
  }
}

TEST(Int8RowTest, TheLargestBecomes127AndTiesGoToEven) {
  std::vector<float> x = {-127, 126.5F, 2.5F, 3.5F, -2.5F, 0.4F};
  const Rounded rounded(x);
  EXPECT_EQ(std::vector<int8_t>(rounded.values.begin(), rounded.values.begin() + 6),
            (std::vector<int8_t>{-127, 126, 2, 4, -2, 0}));
}

TEST(Int8RowTest, ZerosAndNumbersTooSmallAreZero) {
  for (const float value : {0.0F, -0.0F, 1e-40F, 1e-38F}) {
    const Rounded rounded({value, value});
    EXPECT_EQ(rounded.At(0), 0.0F);
    EXPECT_TRUE(std::isfinite(rounded.scales[0]));
  }
}

TEST(Int8RowTest, WhatIsNotFiniteSpoilsItsGroupAlone) {
  for (const float value : {std::numeric_limits<float>::quiet_NaN(),
                            std::numeric_limits<float>::infinity(),
                            -std::numeric_limits<float>::infinity()}) {
    std::vector<float> x(200, 1.0F);
    x[7] = value;
    const Rounded rounded(x);
    EXPECT_TRUE(std::isnan(rounded.At(0)));
    EXPECT_EQ(rounded.At(130), 1.0F);
  }
}

TEST(Int8RowTest, RoundingThroughGivesTheSame) {
  self_test::Random random(2);
  std::vector<float> x(333);
  for (float& value : x) {
    value = random.Normal();
  }
  std::vector<float> y(x.size());
  RoundThroughInt8(x, y);
  const Rounded rounded(x);
  for (size_t i = 0; i < x.size(); ++i) {
    EXPECT_EQ(y[i], rounded.At(i));
  }
}

}  // namespace
}  // namespace hadal
