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

constexpr DType kTypesWithScales[] = {DType::kI8, DType::kFp8E4m3};  // NOLINT(*-avoid-c-arrays)

// A row as a cache gives it back.
std::vector<float> Rounded(const std::vector<float>& row, DType dtype) {
  self_test::CacheBuffer cache({.dtype = dtype,
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
  for (const DType dtype : kTypesWithScales) {
    EXPECT_EQ(LatentRowBytes(dtype, 512, 576), 512 + 4 * 4 + 64 * 2);
    EXPECT_EQ(LatentRowBytes(dtype, 129, 132), 132 + 2 * 4 + 8);
  }
}

// Int8 has 127 steps. Fp8 has 3 bits behind the first one, or steps of 2^-9: its error is 2^-4 of
// the number, or 2^-10 of a 448th of the largest. Dividing and multiplying add a few 2^-24.
TEST(LatentCacheTest, LatentsAreWithinHalfAStep) {
  for (const DType dtype : kTypesWithScales) {
    std::vector<float> row = RandomRow();
    row[130] = 50;  // its group's steps are large, and no other's
    row[131] = 0.0001F;
    const std::vector<float> rounded = Rounded(row, dtype);
    for (int64_t begin = 0; begin < kRank; begin += kLatentGroup) {
      const int64_t end = std::min(begin + kLatentGroup, kRank);
      float largest = 0;
      for (int64_t i = begin; i < end; ++i) {
        largest = std::max(largest, std::abs(row[static_cast<size_t>(i)]));
      }
      for (int64_t i = begin; i < end; ++i) {
        const auto column = static_cast<size_t>(i);
        const float half_step = dtype == DType::kI8 ? largest / 127 * 0.5F
                                                    : std::max(0x1p-4F * std::abs(row[column]),
                                                               largest / 448 * 0x1p-10F);
        EXPECT_LE(std::abs(rounded[column] - row[column]), half_step * 1.0001F) << i;
        if (std::abs(row[column]) == largest) {
          EXPECT_NEAR(rounded[column], row[column], largest * 0x1p-22F);
        }
      }
    }
    for (size_t i = kRank; i < row.size(); ++i) {
      EXPECT_EQ(rounded[i], ToFloat(ToBf16(row[i])));
    }
  }
}

TEST(LatentCacheTest, ZerosAndTheSmallestNumbersAreZeros) {
  std::vector<float> row(kRowWidth, 0.0F);
  row[3] = std::numeric_limits<float>::denorm_min();
  row[200] = -std::numeric_limits<float>::min();
  for (const DType dtype : kTypesWithScales) {
    for (const float value : Rounded(row, dtype)) {
      EXPECT_EQ(value, 0);
    }
  }
}

TEST(LatentCacheTest, WhatIsNotFiniteBreaksItsGroup) {
  for (const DType dtype : kTypesWithScales) {
    for (const float broken : {std::numeric_limits<float>::quiet_NaN(),
                               std::numeric_limits<float>::infinity(),
                               -std::numeric_limits<float>::infinity()}) {
      std::vector<float> row = RandomRow();
      const std::vector<float> clean = Rounded(row, dtype);
      row[140] = broken;
      const std::vector<float> rounded = Rounded(row, dtype);
      for (size_t i = 0; i < row.size(); ++i) {
        if (i >= 128 && i < 256) {
          EXPECT_TRUE(std::isnan(rounded[i])) << i;
        } else {
          EXPECT_EQ(rounded[i], clean[i]) << i;
        }
      }
    }
  }
}

}  // namespace
}  // namespace hadal
