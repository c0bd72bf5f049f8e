#include "kernels/latent_cache.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/reference/ops.h"
#include "kernels/self_test/cache_buffer.h"
#include "kernels/self_test/random_tensors.h"

namespace hadal {
namespace {

constexpr int64_t kRank = 300;  // two groups, and a part of one
constexpr int64_t kRowWidth = 300 + 6;

// A row as an int8 cache gives it back.
std::vector<float> Rounded(const std::vector<float>& row) {
  self_test::CacheBuffer cache({.dtype = DType::kI8,
                                .num_blocks = 1,
                                .block_size = 4,
                                .row_width = kRowWidth,
                                .kv_lora_rank = kRank});
  cache.SetRow(2, row);
  EXPECT_TRUE(cache.OthersUntouched(std::vector<int64_t>{2}));
  return cache.Row(2);
}

std::vector<float> RandomRow() {
  self_test::Random random(5);
  std::vector<float> row(kRowWidth);
  std::generate(row.begin(), row.end(), [&random] { return random.Normal(); });
  return row;
}

TEST(LatentCacheTest, RowBytes) {
  EXPECT_EQ(LatentRowBytes(DType::kF32, 512, 576), 2304);
  EXPECT_EQ(LatentRowBytes(DType::kBf16, 512, 576), 1152);
  EXPECT_EQ(LatentRowBytes(DType::kI8, 512, 576), 512 + 4 * 4 + 64 * 2);
  EXPECT_EQ(LatentRowBytes(DType::kI8, 129, 132), 132 + 2 * 4 + 8);
}

TEST(LatentCacheTest, Int8LatentsAreWithinHalfAStepOfTheirGroup) {
  std::vector<float> row = RandomRow();
  row[130] = 50;  // its group's steps are large, and no other's
  const std::vector<float> rounded = Rounded(row);
  for (int64_t begin = 0; begin < kRank; begin += kLatentGroup) {
    const int64_t end = std::min(begin + kLatentGroup, kRank);
    float largest = 0;
    for (int64_t i = begin; i < end; ++i) {
      largest = std::max(largest, std::abs(row[static_cast<size_t>(i)]));
    }
    for (int64_t i = begin; i < end; ++i) {
      const auto column = static_cast<size_t>(i);
      EXPECT_LE(std::abs(rounded[column] - row[column]), largest / 127 * 0.5001F) << i;
    }
  }
  for (size_t i = kRank; i < row.size(); ++i) {
    EXPECT_EQ(rounded[i], ToFloat(ToBf16(row[i])));
  }
}

TEST(LatentCacheTest, Int8ZerosAndTheSmallestNumbersAreZeros) {
  std::vector<float> row(kRowWidth, 0.0F);
  row[3] = std::numeric_limits<float>::denorm_min();
  row[200] = -std::numeric_limits<float>::min();
  for (const float value : Rounded(row)) {
    EXPECT_EQ(value, 0);
  }
}

TEST(LatentCacheTest, WhatIsNotFiniteBreaksItsInt8Group) {
  for (const float broken : {std::numeric_limits<float>::quiet_NaN(),
                             std::numeric_limits<float>::infinity(),
                             -std::numeric_limits<float>::infinity()}) {
    std::vector<float> row = RandomRow();
    const std::vector<float> clean = Rounded(row);
    row[140] = broken;
    const std::vector<float> rounded = Rounded(row);
    for (size_t i = 0; i < row.size(); ++i) {
      if (i >= 128 && i < 256) {
        EXPECT_TRUE(std::isnan(rounded[i])) << i;
      } else {
        EXPECT_EQ(rounded[i], clean[i]) << i;
      }
    }
  }
}

}  // namespace
}  // namespace hadal
