#include "kernels/mlp.h"

#include "kernels/self_test/mlp.h"
#include "tests/support/compare.h"
#include "tests/support/kernel_runner.h"

namespace hadal {
namespace {

using Shape = self_test::MlpShape;
using Problem = self_test::MlpProblem;

constexpr std::array kShapes = {Shape{0, 32, 16},
                                Shape{1, 1, 1},
                                Shape{1, 33, 18},
                                Shape{3, 130, 47},
                                Shape{66, 24, 35},
                                Shape{2, 60, 1030},
                                Shape{5, 520, 64}};

class MlpParityTest : public test::ParityTest {};

TEST_P(MlpParityTest, AllShapes) {
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(testing::Message() << shape.num_tokens << " x " << shape.hidden_size << " x "
                                    << shape.intermediate_size);
    Problem problem(GetParam().weights, shape);
    const std::vector<float> expected = problem.Run(reference_, runners_[0]->context);
    const std::vector<double> tolerances = problem.Tolerances(expected);
    const std::string x_before = problem.x.Bytes();
    std::vector<float> first;
    for (const auto& runner : runners_) {
      const std::vector<float> actual = problem.Run(table_, runner->context);
      EXPECT_TRUE(test::IsClose(actual, expected, tolerances));
      EXPECT_TRUE(problem.y.GuardsIntact());
      EXPECT_TRUE(problem.x.Bytes() == x_before);
      first = first.empty() ? actual : first;
      EXPECT_TRUE(test::HasSameBits(actual, first)) << runner->pool.num_threads() << " threads";
    }
  }
}

TEST_P(MlpParityTest, ARowHasTheSameBitsInAnyBatch) {
  Problem problem(GetParam().weights,
                  {.num_tokens = 66, .hidden_size = 77, .intermediate_size = 45});
  const std::vector<float> together = problem.Run(table_, runners_[1]->context);
  problem.Reset();
  for (int64_t t = 0; t < 66; t += 3) {
    MlpArgs args = problem.Args();
    args.x = args.x.Slice(t, 3);
    args.y = args.y.Slice(t, 3);
    table_.mlp(args, runners_[0]->context);
  }
  EXPECT_TRUE(test::HasSameBits(problem.y.Elements(), together));
}

// silu of large numbers is 0 or the number, never NaN; a NaN stays in its row.
TEST_P(MlpParityTest, LargeActivationsAndNan) {
  Problem problem(GetParam().weights,
                  {.num_tokens = 4, .hidden_size = 40, .intermediate_size = 30});
  for (float& value : problem.x.view().Row(1)) {
    value *= 1e4F;
  }
  problem.x.view()(2, 3) = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> expected = problem.Run(reference_, runners_[0]->context);
  std::vector<double> tolerances = problem.Tolerances(expected);
  std::fill_n(tolerances.begin() + 80, 40, 0.0);  // the row of the NaN is all NaN
  const std::vector<float> actual = problem.Run(table_, runners_[1]->context);
  EXPECT_TRUE(test::IsClose(actual, expected, tolerances));
  EXPECT_TRUE(std::isfinite(actual[40]));
  EXPECT_TRUE(std::isnan(actual[80]));
}

INSTANTIATE_TEST_SUITE_P(EmulatedTiles,
                         MlpParityTest,
                         testing::ValuesIn(test::EmulatedTilesCases()),
                         test::NameOfParam);
INSTANTIATE_TEST_SUITE_P(BackEnds,
                         MlpParityTest,
                         testing::ValuesIn(test::ParityCases()),
                         test::NameOfParam);

}  // namespace
}  // namespace hadal
