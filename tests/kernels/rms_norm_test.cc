#include "kernels/rms_norm.h"

#include "kernels/self_test/rms_norm.h"
#include "tests/support/compare.h"
#include "tests/support/kernel_runner.h"

namespace hadal {
namespace {

using Problem = self_test::RmsNormProblem;

class RmsNormParityTest : public test::ParityTest {};

TEST_P(RmsNormParityTest, AllShapes) {
  for (const int64_t num_tokens : {0, 1, 3, 8, 9, 70}) {
    for (const int64_t hidden_size : {1, 5, 8, 16, 100, 129, 1537}) {
      SCOPED_TRACE(testing::Message() << num_tokens << " x " << hidden_size);
      Problem problem(num_tokens, hidden_size);
      reference_.rms_norm(problem.Args(), runners_[0]->context);
      const std::vector<float> expected = problem.y.Elements();
      const std::string x_before = problem.x.Bytes();
      std::vector<float> first;
      for (const auto& runner : runners_) {
        problem.y.Poison();
        table_.rms_norm(problem.Args(), runner->context);
        const std::vector<float> actual = problem.y.Elements();
        EXPECT_TRUE(test::IsClose(actual, expected, problem.Tolerances(expected)));
        EXPECT_TRUE(problem.y.GuardsIntact());
        EXPECT_TRUE(problem.x.Bytes() == x_before);
        EXPECT_TRUE(problem.weight.GuardsIntact());
        first = first.empty() ? actual : first;
        EXPECT_TRUE(test::HasSameBits(actual, first));
      }
    }
  }
}

TEST_P(RmsNormParityTest, ARowHasTheSameBitsAloneAndInPlace) {
  Problem problem(11, 133);
  table_.rms_norm(problem.Args(), runners_[0]->context);
  const std::vector<float> together = problem.y.Elements();
  problem.y.Poison();
  for (int64_t t = 0; t < 11; ++t) {
    RmsNormArgs args = problem.Args();
    args.x = args.x.Slice(t, 1);
    args.y = args.y.Slice(t, 1);
    table_.rms_norm(args, runners_[0]->context);
  }
  EXPECT_TRUE(test::HasSameBits(problem.y.Elements(), together));

  RmsNormArgs in_place = problem.Args();
  in_place.y = problem.x.view();
  table_.rms_norm(in_place, runners_[2]->context);
  EXPECT_TRUE(test::HasSameBits(problem.x.Elements(), together));
  EXPECT_TRUE(problem.x.GuardsIntact());
}

TEST_P(RmsNormParityTest, SpecialNumbersStayInTheirRow) {
  Problem problem(5, 40);
  problem.x.view()(1, 39) = std::numeric_limits<float>::quiet_NaN();
  problem.x.view()(3, 2) = std::numeric_limits<float>::infinity();
  for (float& value : problem.x.view().Row(4)) {
    value = 0;
  }
  reference_.rms_norm(problem.Args(), runners_[0]->context);
  const std::vector<float> expected = problem.y.Elements();
  table_.rms_norm(problem.Args(), runners_[0]->context);
  EXPECT_TRUE(test::IsClose(problem.y.Elements(), expected, problem.Tolerances(expected)));
  EXPECT_EQ(problem.y.view()(4, 7), 0.0F);
}

INSTANTIATE_TEST_SUITE_P(BackEnds,
                         RmsNormParityTest,
                         testing::ValuesIn(test::BackEndCases()),
                         test::NameOfParam);

}  // namespace
}  // namespace hadal
