#include "kernels/moe_route.h"

#include <set>

#include "kernels/self_test/bounds.h"
#include "kernels/self_test/moe_route.h"
#include "tests/support/compare.h"
#include "tests/support/kernel_runner.h"

namespace hadal {
namespace {

using Case = self_test::MoeRouteShape;
using Problem = self_test::MoeRouteProblem;

constexpr auto kSoftmax = ScoringFunc::kSoftmax;
constexpr auto kSigmoid = ScoringFunc::kSigmoid;
constexpr auto kGreedy = TopkMethod::kGreedy;
constexpr auto kGrouped = TopkMethod::kGroupLimitedGreedy;
constexpr auto kNoauxTc = TopkMethod::kNoauxTc;

constexpr std::array kCases = {Case{0, 8, 4, 2, kSoftmax, kGreedy, 1, 1, false},
                               Case{1, 1, 1, 1, kSoftmax, kGreedy, 1, 1, true},
                               Case{3, 33, 64, 6, kSoftmax, kGreedy, 1, 1, false},
                               Case{17, 40, 160, 6, kSoftmax, kGrouped, 8, 3, false},
                               Case{70, 20, 24, 4, kSoftmax, kGrouped, 4, 2, true},
                               Case{65, 72, 256, 8, kSigmoid, kNoauxTc, 8, 4, true},
                               Case{5, 530, 35, 5, kSigmoid, kNoauxTc, 1, 1, false},
                               Case{9, 16, 12, 3, kSigmoid, kNoauxTc, 12, 5, true},
                               Case{18, 24, 30, 10, kSigmoid, kGrouped, 5, 2, true}};

class MoeRouteParityTest : public test::ParityTest {};

TEST_P(MoeRouteParityTest, ExactLogitsGiveTheSameChoice) {
  for (const Case& route : kCases) {
    SCOPED_TRACE(testing::Message() << route.num_tokens << " tokens, " << route.top_k << " of "
                                    << route.num_experts << " experts");
    Problem problem(GetParam().weights, route);
    problem.Run(reference_, runners_[0]->context);
    const std::vector<int32_t> expected_ids = problem.expert_ids.Elements();
    const std::vector<float> expected_weights = problem.weights.Elements();
    std::vector<double> tolerances;  // exponentials and their sums round
    for (const float weight : expected_weights) {
      tolerances.push_back(16 * self_test::kUnit * std::abs(double{weight}));
    }
    const std::string x_before = problem.x.Bytes();
    for (const auto& runner : runners_) {
      problem.Run(table_, runner->context);
      EXPECT_EQ(problem.expert_ids.Elements(), expected_ids);
      EXPECT_TRUE(test::IsClose(problem.weights.Elements(), expected_weights, tolerances));
      EXPECT_TRUE(problem.expert_ids.GuardsIntact());
      EXPECT_TRUE(problem.weights.GuardsIntact());
      EXPECT_TRUE(problem.x.Bytes() == x_before);
    }
  }
}

// With logits that round, scores move by at most their logit's error (both functions have slopes
// of at most 1 in every logit, softmax over two sides), so weights move by twice the largest.
TEST_P(MoeRouteParityTest, RoundedLogitsGiveCloseWeights) {
  Problem problem(GetParam().weights, {33, 700, 64, 6, kSigmoid, kNoauxTc, 1, 1, false});
  problem.gate = self_test::WeightBuffer::MakeRandom(GetParam().weights, 64, 700, problem.random);
  problem.args.gate = problem.gate.matrix();
  problem.x.Fill([&] { return problem.random.Normal(); });
  const std::vector<double> row_norms = self_test::RowNorms(problem.gate.matrix());
  const double gate_norm = *std::max_element(row_norms.begin(), row_norms.end());
  std::vector<double> tolerances;
  for (int64_t t = 0; t < 33; ++t) {
    const double logit_error =
        self_test::Gamma(700) * gate_norm * self_test::Norm(problem.x.input().Row(t));
    tolerances.insert(tolerances.end(), 6, 2.5 * (2 * logit_error + 8 * self_test::kUnit));
  }
  problem.Run(reference_, runners_[0]->context);
  const std::vector<float> expected = problem.weights.Elements();
  for (const auto& runner : runners_) {
    problem.Run(table_, runner->context);
    EXPECT_TRUE(test::IsClose(problem.weights.Elements(), expected, tolerances));
  }
}

TEST_P(MoeRouteParityTest, ARowHasTheSameBitsInAnyBatch) {
  for (const Case& route : kCases) {
    Problem problem(GetParam().weights, route);
    problem.gate = self_test::WeightBuffer::MakeRandom(
        GetParam().weights, route.num_experts, route.hidden_size, problem.random);
    problem.args.gate = problem.gate.matrix();
    problem.x.Fill([&] { return problem.random.Normal(); });
    for (const auto& runner : runners_) {
      problem.Run(table_, runner->context);
      const std::vector<int32_t> ids = problem.expert_ids.Elements();
      const std::vector<float> weights = problem.weights.Elements();
      for (int64_t t = 0; t < route.num_tokens; ++t) {
        MoeRouteArgs args = problem.args;
        args.x = args.x.Slice(t, 1);
        args.expert_ids = args.expert_ids.Slice(t, 1);
        args.weights = args.weights.Slice(t, 1);
        table_.moe_route(args, runners_[0]->context);
      }
      EXPECT_EQ(problem.expert_ids.Elements(), ids);
      EXPECT_TRUE(test::HasSameBits(problem.weights.Elements(), weights));
    }
  }
}

// Whatever a broken row holds, the experts op must get distinct ids that exist.
TEST_P(MoeRouteParityTest, BrokenRowsChooseDistinctExperts) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const Case& route : kCases) {
    if (route.num_tokens < 3) {
      continue;
    }
    Problem problem(GetParam().weights, route);
    for (float& value : problem.x.view().Row(0)) {
      value = kNan;
    }
    problem.x.view()(1, 0) = kInfinity;
    problem.x.view()(1, route.hidden_size - 1) = -kInfinity;
    problem.x.view()(2, 0) = 3e38F;
    problem.Run(table_, runners_[1]->context);
    for (int64_t t = 0; t < 3; ++t) {
      const auto row = problem.expert_ids.input().Row(t);
      const std::set<int32_t> distinct(row.begin(), row.end());
      EXPECT_EQ(std::ssize(distinct), route.top_k);
      EXPECT_GE(*distinct.begin(), 0);
      EXPECT_LT(*distinct.rbegin(), route.num_experts);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(BackEnds,
                         MoeRouteParityTest,
                         testing::ValuesIn(test::PublishedFormatCases()),
                         test::NameOfParam);

}  // namespace
}  // namespace hadal
