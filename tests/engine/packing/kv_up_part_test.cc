#include "engine/packing/kv_up_part.h"

#include <vector>

#include <gtest/gtest.h>

namespace hadal {
namespace {

// Two heads of 3 key and 2 value rows, rank 5: element [row, col] is 10 * row + col.
class KvUpPartTest : public testing::Test {
 protected:
  KvUpPartTest() : values_(10 * 5) {
    config_.num_attention_heads = 2;
    config_.kv_lora_rank = 5;
    config_.qk_nope_head_dim = 3;
    config_.v_head_dim = 2;
    for (size_t i = 0; i < values_.size(); ++i) {
      values_[i] = static_cast<float>(i / 5 * 10 + i % 5);
    }
  }

  WeightMatrix Part(PackedPart part) {
    const WeightMatrix kv_b_proj = {
        .format = WeightFormat::kF32, .rows = 10, .cols = 5, .payload = values_.data()};
    auto matrix = KvUpPart(kv_b_proj, part, config_, copies_);
    CHECK(matrix.ok());
    return *matrix;
  }

  ModelConfig config_;
  std::vector<float> values_;
  std::vector<DeviceBuffer> copies_;
};

TEST_F(KvUpPartTest, KeysAreTransposedForEachHead) {
  const WeightMatrix keys = Part(PackedPart::kKeys);
  EXPECT_EQ(keys.rows, 2 * 16);
  EXPECT_EQ(keys.cols, 3);
  for (int64_t h = 0; h < 2; ++h) {
    for (int64_t j = 0; j < 16; ++j) {
      for (int64_t i = 0; i < 3; ++i) {
        const auto expected = static_cast<float>(j < 5 ? 10 * (5 * h + i) + j : 0);
        EXPECT_EQ(WeightAt(keys, h * 16 + j, i), expected) << h << ", " << j << ", " << i;
      }
    }
  }
}

TEST_F(KvUpPartTest, ValuesAreTheRowsBehindEachHeadsKeys) {
  const WeightMatrix values = Part(PackedPart::kValues);
  EXPECT_EQ(values.rows, 2 * 16);
  EXPECT_EQ(values.cols, 5);
  for (int64_t h = 0; h < 2; ++h) {
    for (int64_t i = 0; i < 16; ++i) {
      for (int64_t j = 0; j < 5; ++j) {
        const auto expected = static_cast<float>(i < 2 ? 10 * (5 * h + 3 + i) + j : 0);
        EXPECT_EQ(WeightAt(values, h * 16 + i, j), expected) << h << ", " << i << ", " << j;
      }
    }
  }
}

}  // namespace
}  // namespace hadal
