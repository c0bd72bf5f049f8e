#include "kernels/weight_matrix.h"

#include <array>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/quantization/panels.h"
#include "kernels/self_test/random_tensors.h"

namespace hadal {
namespace {

// 3 x 5 in blocks of 2 x 3: a ragged grid of 2 x 2 scales.
struct BlockMatrix {
  BlockMatrix() {
    for (int i = 0; i < 15; ++i) {
      payload.push_back(ToFp8E4m3(static_cast<float>(i)));
    }
    matrix = {.format = WeightFormat::kFp8Block,
              .rows = 3,
              .cols = 5,
              .payload = payload.data(),
              .scales = scales.data(),
              .block_rows = 2,
              .block_cols = 3};
  }
  std::vector<fp8_e4m3> payload;
  std::array<float, 4> scales = {1, 10, 100, 1000};
  WeightMatrix matrix;
};

TEST(WeightMatrixTest, WeightAtReadsEveryFormat) {
  const std::vector<float> values = {0.5F, -1, 2, 0.25F, 8, -16};
  for (const self_test::WeightSpec& spec : self_test::AllWeightSpecs()) {
    const self_test::WeightBuffer buffer(spec, 2, 3, values);
    for (int64_t row = 0; row < 2; ++row) {
      for (int64_t col = 0; col < 3; ++col) {
        const float value = values[static_cast<size_t>(row * 3 + col)];
        const float step = IsQuantized(spec.format) ? 2.0F : 0.0F;
        EXPECT_NEAR(WeightAt(buffer.matrix(), row, col), value, step / 2);
      }
    }
  }
}

TEST(WeightMatrixTest, BlockScalesAreLookedUpByRowAndColumn) {
  const BlockMatrix block;
  EXPECT_EQ(WeightAt(block.matrix, 0, 2), 2.0F);
  EXPECT_EQ(WeightAt(block.matrix, 0, 3), 30.0F);
  EXPECT_EQ(WeightAt(block.matrix, 1, 4), 90.0F);
  EXPECT_EQ(WeightAt(block.matrix, 2, 0), 1000.0F);
  EXPECT_EQ(WeightAt(block.matrix, 2, 4), 14000.0F);
}

TEST(WeightMatrixTest, RowsAreAMatrixOfTheirOwn) {
  self_test::Random random(1);
  for (const self_test::WeightSpec& spec : self_test::AllWeightSpecs()) {
    const auto buffer = self_test::WeightBuffer::MakeRandom(spec, 300, 9, random);
    const int64_t begin = spec.format == WeightFormat::kFp8Block ? 2 * spec.block_rows
                          : IsQuantized(spec.format)             ? 2 * kPanelRows
                                                                 : 7;
    const WeightMatrix part = buffer.matrix().Rows(begin, 11);
    EXPECT_EQ(part.rows, 11);
    EXPECT_EQ(part.cols, 9);
    for (int64_t row = 0; row < 11; ++row) {
      EXPECT_EQ(WeightAt(part, row, 8), WeightAt(buffer.matrix(), begin + row, 8));
    }
    EXPECT_EQ(buffer.matrix().Rows(0, 0).rows, 0);
  }
}

TEST(WeightMatrixTest, SizeCountsPayloadAndScales) {
  const BlockMatrix block;
  EXPECT_EQ(SizeBytes(block.matrix), 15 + 4 * 4);
  EXPECT_EQ(SizeBytes({.format = WeightFormat::kF32, .rows = 3, .cols = 5}), 60);
  EXPECT_EQ(SizeBytes({.format = WeightFormat::kBf16, .rows = 3, .cols = 5}), 30);
  EXPECT_EQ(SizeBytes({.format = WeightFormat::kF16, .rows = 3, .cols = 5}), 30);
}

TEST(WeightMatrixDeathTest, RowsOutsideOrInsideABlockAreFatal) {
  const BlockMatrix block;
  EXPECT_DEATH(static_cast<void>(block.matrix.Rows(2, 2)), "begin \\+ count <= rows");
  EXPECT_DEATH(static_cast<void>(block.matrix.Rows(-1, 1)), "begin >= 0");
  EXPECT_DEATH(static_cast<void>(block.matrix.Rows(1, 1)), "begin % block_rows == 0 \\(1 vs. 0\\)");
}

TEST(WeightMatrixDeathTest, ValidateChecksShapeAndBlocks) {
  BlockMatrix block;
  ValidateWeight(block.matrix, 3, 5);
  EXPECT_DEATH(ValidateWeight(block.matrix, 4, 5), "weight.rows == rows \\(3 vs. 4\\)");
  EXPECT_DEATH(ValidateWeight(block.matrix, 3, 6), "weight.cols == cols \\(5 vs. 6\\)");
  block.matrix.block_cols = 0;
  EXPECT_DEATH(ValidateWeight(block.matrix, 3, 5), "block_cols > 0");
  block.matrix.scales = nullptr;
  EXPECT_DEATH(ValidateWeight(block.matrix, 3, 5), "weight.scales != nullptr");
  block.matrix.payload = nullptr;
  EXPECT_DEATH(ValidateWeight(block.matrix, 3, 5), "weight.payload != nullptr");
}

}  // namespace
}  // namespace hadal
