#include "kernels/moe_experts.h"

#include "kernels/self_test/moe_experts.h"
#include "tests/support/compare.h"
#include "tests/support/emulated_table.h"
#include "tests/support/kernel_runner.h"

namespace hadal {
namespace {

using Load = self_test::ExpertChoice;
using Shape = self_test::MoeExpertsShape;
using Problem = self_test::MoeExpertsProblem;

constexpr std::array kShapes = {Shape{0, 16, 16, 4, 2, Load::kRandom},
                                Shape{1, 1, 1, 1, 1, Load::kRandom},
                                Shape{1, 40, 24, 9, 8, Load::kRandom, 24},
                                Shape{7, 33, 18, 16, 3, Load::kRandom, 36},
                                Shape{70, 21, 17, 5, 1, Load::kOneExpert},
                                Shape{67, 24, 35, 12, 4, Load::kOneExpert, 40},
                                Shape{9, 130, 20, 11, 8, Load::kLastExperts},
                                Shape{2, 18, 530, 6, 6, Load::kRandom}};

class MoeExpertsParityTest : public test::ParityTest {};

TEST_P(MoeExpertsParityTest, AllShapes) {
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(testing::Message()
                 << shape.num_tokens << " x " << shape.hidden_size << " x "
                 << shape.intermediate_size << ", " << shape.top_k << " of " << shape.num_experts);
    Problem problem(GetParam().weights, shape);
    const std::vector<float> expected = problem.Run(reference_, runners_[0]->context);
    const std::vector<double> tolerances = problem.Tolerances(expected);
    const std::string inputs_before =
        problem.x.Bytes() + problem.expert_ids.Bytes() + problem.weights.Bytes();
    std::vector<float> first;
    for (const auto& runner : runners_) {
      const std::vector<float> actual = problem.Run(table_, runner->context);
      EXPECT_TRUE(test::IsClose(actual, expected, tolerances));
      EXPECT_TRUE(problem.y.GuardsIntact());
      EXPECT_TRUE(problem.x.Bytes() + problem.expert_ids.Bytes() + problem.weights.Bytes() ==
                  inputs_before);
      first = first.empty() ? actual : first;
      EXPECT_TRUE(test::HasSameBits(actual, first)) << runner->pool.num_threads() << " threads";
    }
  }
}

TEST_P(MoeExpertsParityTest, ARowHasTheSameBitsInAnyBatch) {
  for (const Load load : {Load::kRandom, Load::kOneExpert}) {
    Problem problem(GetParam().weights,
                    {.num_tokens = 69,
                     .hidden_size = 43,
                     .intermediate_size = 21,
                     .num_experts = 6,
                     .top_k = 3,
                     .load = load,
                     .shared_size = 42});
    const std::vector<float> together = problem.Run(table_, runners_[1]->context);
    problem.Reset();
    for (int64_t t = 0; t < 69; ++t) {
      MoeExpertsArgs args = problem.Args();
      args.x = args.x.Slice(t, 1);
      args.expert_ids = args.expert_ids.Slice(t, 1);
      args.weights = args.weights.Slice(t, 1);
      args.y = args.y.Slice(t, 1);
      table_.moe_experts(args, runners_[0]->context);
    }
    EXPECT_TRUE(test::HasSameBits(problem.y.Elements(), together));
  }
}

TEST_P(MoeExpertsParityTest, EveryTopK) {
  for (int64_t top_k = 1; top_k <= 8; ++top_k) {
    Problem problem(GetParam().weights,
                    {.num_tokens = 5,
                     .hidden_size = 17,
                     .intermediate_size = 9,
                     .num_experts = 8,
                     .top_k = top_k,
                     .load = Load::kRandom});
    const std::vector<float> expected = problem.Run(reference_, runners_[0]->context);
    EXPECT_TRUE(test::IsClose(
        problem.Run(table_, runners_[2]->context), expected, problem.Tolerances(expected)))
        << "top_k " << top_k;
  }
}

// One token's NaN reaches neither the tokens that share its experts nor other rows.
TEST_P(MoeExpertsParityTest, NanStaysInItsRow) {
  Problem problem(GetParam().weights,
                  {.num_tokens = 6,
                   .hidden_size = 20,
                   .intermediate_size = 12,
                   .num_experts = 4,
                   .top_k = 2,
                   .load = Load::kOneExpert,
                   .shared_size = 12});
  const std::vector<float> clean = problem.Run(table_, runners_[1]->context);
  problem.x.view()(3, 19) = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> actual = problem.Run(table_, runners_[1]->context);
  for (size_t i = 0; i < actual.size(); ++i) {
    if (i / 20 == 3) {
      EXPECT_TRUE(std::isnan(actual[i]));
    } else {
      EXPECT_EQ(actual[i], clean[i]);
    }
  }
}

// Grids of a GPU hold no more than 65535 blocks but in x: one token less than a step may have.
TEST(MoeExpertsLargestStepTest, HasMoreTokensThanMostExtentsOfAGrid) {
  if (!test::EmulatesCuda()) {
    GTEST_SKIP() << "no emulated GPU in this build";
  }
  Problem problem({.format = WeightFormat::kF32},
                  {.num_tokens = 65536,
                   .hidden_size = 3,
                   .intermediate_size = 2,
                   .num_experts = 2,
                   .top_k = 1,
                   .load = Load::kRandom});
  test::KernelRunner runner(1);
  const std::vector<float> expected = problem.Run(test::TableOf("reference"), runner.context);
  EXPECT_TRUE(test::IsClose(problem.Run(test::TableOf(test::kEmulatedCudaName), runner.context),
                            expected,
                            problem.Tolerances(expected)));
}

INSTANTIATE_TEST_SUITE_P(EmulatedTiles,
                         MoeExpertsParityTest,
                         testing::ValuesIn(test::EmulatedTilesCases()),
                         test::NameOfParam);
INSTANTIATE_TEST_SUITE_P(BackEnds,
                         MoeExpertsParityTest,
                         testing::ValuesIn(test::ParityCases()),
                         test::NameOfParam);

}  // namespace
}  // namespace hadal
