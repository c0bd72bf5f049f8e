// The tensor-core products of kernels/cuda/product on the emulated GPU: shapes that they take, for
// tests of the ops have mostly shapes that they refuse.

#include <array>
#include <limits>
#include <string>

#include "kernels/cuda/product/plan.h"
#include "kernels/self_test/linear.h"
#include "kernels/self_test/mla_attention.h"
#include "kernels/self_test/mlp.h"
#include "kernels/self_test/moe_experts.h"
#include "tests/support/compare.h"
#include "tests/support/emulated_table.h"
#include "tests/support/kernel_runner.h"

namespace hadal {
namespace {

using cuda::kMostTileTokens;
using cuda::NumSegments;
using cuda::NumSteps;
using cuda::SegmentSteps;
using cuda::SplitsSegments;
using cuda::TakesTensorCores;
using cuda::TileTokens;

alignas(16) constexpr std::byte kAligned[32] = {};

WeightMatrix Matrix(WeightFormat format, int64_t rows, int64_t cols) {
  const bool is_fp8 = format == WeightFormat::kFp8Block;
  return {.format = format,
          .rows = rows,
          .cols = cols,
          .payload = kAligned,
          .block_rows = is_fp8 ? 128 : 0,
          .block_cols = is_fp8 ? 128 : 0};
}

TEST(ProductPlanTest, TakesBf16AndPublishedFp8Alone) {
  for (const int64_t cols : {512, 1408, 1536, 2048, 7168, 10944, 16384, 18432}) {
    EXPECT_TRUE(TakesTensorCores(Matrix(WeightFormat::kBf16, 7, cols)));
    EXPECT_TRUE(TakesTensorCores(Matrix(WeightFormat::kFp8Block, 7, cols)));
    EXPECT_FALSE(TakesTensorCores(Matrix(WeightFormat::kF32, 7, cols)));
    EXPECT_FALSE(TakesTensorCores(Matrix(WeightFormat::kF16, 7, cols)));
    EXPECT_FALSE(TakesTensorCores(Matrix(WeightFormat::kInt8, 7, cols)));
    EXPECT_FALSE(TakesTensorCores(Matrix(WeightFormat::kInt4, 7, cols)));
  }
  EXPECT_FALSE(TakesTensorCores(Matrix(WeightFormat::kBf16, 16, 68)));
  WeightMatrix matrix = Matrix(WeightFormat::kBf16, 16, 64);
  matrix.payload = kAligned + 2;
  EXPECT_FALSE(TakesTensorCores(matrix));
  matrix = Matrix(WeightFormat::kFp8Block, 16, 160);
  matrix.block_cols = 80;
  EXPECT_FALSE(TakesTensorCores(matrix));
  matrix = Matrix(WeightFormat::kFp8Block, 16, 128);
  matrix.block_rows = 24;
  EXPECT_FALSE(TakesTensorCores(matrix));
}

TEST(ProductPlanTest, SegmentsCoverEveryColumnOnce) {
  for (const WeightFormat format : {WeightFormat::kBf16, WeightFormat::kFp8Block}) {
    for (const int64_t rows : {1, 64, 576, 3072, 102400}) {
      for (const int64_t cols : {16, 128, 512, 1408, 2048, 7168, 10944, 18432}) {
        const WeightMatrix matrix = Matrix(format, rows, cols);
        const int64_t num_segments = NumSegments(matrix);
        EXPECT_GE(num_segments * SegmentSteps(matrix), NumSteps(matrix));
        EXPECT_LT((num_segments - 1) * SegmentSteps(matrix), NumSteps(matrix));
      }
    }
  }
  EXPECT_EQ(NumSegments(Matrix(WeightFormat::kBf16, 102400, 2048)), 1);  // rows enough
  EXPECT_EQ(NumSegments(Matrix(WeightFormat::kBf16, 3072, 2048)), 4);
  EXPECT_EQ(NumSegments(Matrix(WeightFormat::kFp8Block, 64, 7168)), 7);
}

TEST(ProductPlanTest, TilesOfTokens) {
  EXPECT_EQ(TileTokens(0, kMostTileTokens), 8);
  EXPECT_EQ(TileTokens(8, kMostTileTokens), 8);
  EXPECT_EQ(TileTokens(9, kMostTileTokens), 16);
  EXPECT_EQ(TileTokens(33, kMostTileTokens), 64);
  EXPECT_EQ(TileTokens(100000, kMostTileTokens), 64);
  EXPECT_EQ(TileTokens(100000, cuda::kMostExpertTokens), 32);
}

// Bf16 and fp8 in blocks of 128 x 128.
constexpr std::array kSpecs = {
    self_test::WeightSpec{.format = WeightFormat::kBf16},
    self_test::WeightSpec{.format = WeightFormat::kFp8Block, .block_rows = 128, .block_cols = 128}};

std::string NameOfSpec(const testing::TestParamInfo<self_test::WeightSpec>& info) {
  return NameOf(info.param);
}

class TensorProductTest : public testing::TestWithParam<self_test::WeightSpec> {
 protected:
  void SetUp() override {
    if (!test::EmulatesCuda()) {
      GTEST_SKIP() << "no emulated GPU in this build";
    }
  }

  const KernelTable table_ = test::TableOf(test::kEmulatedCudaName);
  const KernelTable reference_ = test::TableOf("reference");
  test::KernelRunner runner_ = test::KernelRunner(1);
};

// Every tile of tokens, tails of rows and columns, sums in one and in several splits.
TEST_P(TensorProductTest, LinearIsClose) {
  using Shape = self_test::LinearShape;
  for (Shape shape : {Shape{1, 64, 64},
                      Shape{3, 1040, 100},
                      Shape{8, 128, 129},
                      Shape{17, 208, 7},
                      Shape{64, 576, 130},
                      Shape{130, 1168, 65}}) {
    for (const Output output : {Output::kStore, Output::kAdd}) {
      SCOPED_TRACE(testing::Message()
                   << shape.num_tokens << " x " << shape.in << " x " << shape.out);
      shape.output = output;
      self_test::LinearProblem problem(GetParam(), shape);
      problem.Reset();
      reference_.linear(problem.Args(), runner_.context);
      const std::vector<float> expected = problem.y.Elements();
      problem.Reset();
      table_.linear(problem.Args(), runner_.context);
      EXPECT_TRUE(test::IsClose(problem.y.Elements(), expected, problem.Tolerances(expected)));
      EXPECT_TRUE(problem.y.GuardsIntact());
    }
  }
}

// With many tokens one block sums all segments; with few they go through memory.
TEST_P(TensorProductTest, LinearRowHasTheSameBitsInAnyBatch) {
  const self_test::LinearShape shape = {.num_tokens = 206, .in = 1088, .out = 450};
  self_test::LinearProblem problem(GetParam(), shape);
  const int64_t num_segments = NumSegments(problem.Args().weight);
  ASSERT_TRUE(SplitsSegments(num_segments, 64));
  ASSERT_FALSE(SplitsSegments(num_segments, shape.num_tokens));
  problem.Reset();
  table_.linear(problem.Args(), runner_.context);
  const std::vector<float> together = problem.y.Elements();
  int64_t first = 0;
  for (const int64_t num_tokens : {1, 2, 8, 9, 17, 40, 64, 65}) {
    LinearArgs args = problem.Args();
    args.x = args.x.Slice(first, num_tokens);
    args.y = args.y.Slice(first, num_tokens);
    table_.linear(args, runner_.context);
    first += num_tokens;
  }
  EXPECT_TRUE(test::HasSameBits(problem.y.Elements(), together));
}

TEST_P(TensorProductTest, NanAndInfinityStayInTheirRow) {
  self_test::LinearProblem problem(GetParam(), {.num_tokens = 9, .in = 144, .out = 80});
  problem.x.view()(2, 143) = std::numeric_limits<float>::quiet_NaN();
  problem.x.view()(6, 0) = std::numeric_limits<float>::infinity();
  problem.Reset();
  reference_.linear(problem.Args(), runner_.context);
  const std::vector<float> expected = problem.y.Elements();
  problem.Reset();
  table_.linear(problem.Args(), runner_.context);
  const std::vector<double> tolerances(expected.size(), 1e-3);
  EXPECT_TRUE(test::IsClose(problem.y.Elements(), expected, tolerances));
}

TEST_P(TensorProductTest, MlpIsCloseAndHasTheSameBitsInAnyBatch) {
  self_test::MlpProblem problem(GetParam(),
                                {.num_tokens = 37, .hidden_size = 144, .intermediate_size = 1104});
  const std::vector<float> expected = problem.Run(reference_, runner_.context);
  const std::vector<float> together = problem.Run(table_, runner_.context);
  EXPECT_TRUE(test::IsClose(together, expected, problem.Tolerances(expected)));
  problem.Reset();
  int64_t first = 0;
  for (const int64_t num_tokens : {1, 3, 12, 21}) {
    MlpArgs args = problem.Args();
    args.x = args.x.Slice(first, num_tokens);
    args.y = args.y.Slice(first, num_tokens);
    table_.mlp(args, runner_.context);
    first += num_tokens;
  }
  EXPECT_TRUE(test::HasSameBits(problem.y.Elements(), together));
}

TEST_P(TensorProductTest, ExpertsAreCloseAndHaveTheSameBitsInAnyBatch) {
  using Load = self_test::ExpertChoice;
  for (const Load load : {Load::kRandom, Load::kOneExpert, Load::kLastExperts}) {
    self_test::MoeExpertsProblem problem(GetParam(),
                                         {.num_tokens = 90,
                                          .hidden_size = 144,
                                          .intermediate_size = 80,
                                          .num_experts = 35,
                                          .top_k = 6,
                                          .load = load,
                                          .shared_size = 160});
    const std::vector<float> expected = problem.Run(reference_, runner_.context);
    const std::vector<float> together = problem.Run(table_, runner_.context);
    EXPECT_TRUE(test::IsClose(together, expected, problem.Tolerances(expected)));
    EXPECT_TRUE(problem.GuardsIntact());
    problem.Reset();
    int64_t first = 0;
    for (const int64_t num_tokens : {1, 8, 9, 15, 57}) {  // 57: sorted, as all are together
      MoeExpertsArgs args = problem.Args();
      args.x = args.x.Slice(first, num_tokens);
      args.expert_ids = args.expert_ids.Slice(first, num_tokens);
      args.weights = args.weights.Slice(first, num_tokens);
      args.y = args.y.Slice(first, num_tokens);
      table_.moe_experts(args, runner_.context);
      first += num_tokens;
    }
    EXPECT_TRUE(test::HasSameBits(problem.y.Elements(), together));
  }
}

// Tiles among few pairs, and their ends, whatever the number of experts.
TEST_P(TensorProductTest, FewPairsFindTheirTiles) {
  using Load = self_test::ExpertChoice;
  for (const int64_t num_experts : {3, 70}) {
    for (const Load load : {Load::kRandom, Load::kOneExpert}) {
      for (const auto& [num_tokens, shared_size] : {std::pair<int64_t, int64_t>{1, 0},
                                                    {2, 384},
                                                    {17, 256},
                                                    {25, 256},
                                                    {26, 256},
                                                    {42, 0}}) {
        self_test::MoeExpertsProblem problem(GetParam(),
                                             {.num_tokens = num_tokens,
                                              .hidden_size = 80,
                                              .intermediate_size = 128,
                                              .num_experts = num_experts,
                                              .top_k = 3,
                                              .load = load,
                                              .shared_size = shared_size});
        const std::vector<float> expected = problem.Run(reference_, runner_.context);
        EXPECT_TRUE(test::IsClose(
            problem.Run(table_, runner_.context), expected, problem.Tolerances(expected)));
        EXPECT_TRUE(problem.GuardsIntact());
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, TensorProductTest, testing::ValuesIn(kSpecs), NameOfSpec);

}  // namespace
}  // namespace hadal
