#include "kernels/moe_route.h"

#include <set>

#include "tests/support/compare.h"
#include "tests/support/kernel_runner.h"

namespace hadal {
namespace {

struct Case {
  int64_t num_tokens;
  int64_t hidden_size;
  int64_t num_experts;
  int64_t top_k;
  ScoringFunc scoring_func;
  TopkMethod topk_method;
  int64_t n_group;
  int64_t topk_group;
  bool norm_topk_prob;
};

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

// Inputs and gate are small multiples of powers of two: logits are exact in every back end, ties
// are frequent, and so ids and weights must agree to the bit.
struct Problem {
  Problem(const test::WeightSpec& spec, const Case& route)
      : random(static_cast<uint32_t>(route.num_experts + route.num_tokens)),
        x(route.num_tokens, route.hidden_size),
        gate(spec, route.num_experts, route.hidden_size, GateValues(route)),
        bias(route.topk_method == kNoauxTc ? route.num_experts : 0),
        expert_ids(route.num_tokens, route.top_k),
        weights(route.num_tokens, route.top_k) {
    x.Fill([this] { return static_cast<float>(random.Below(5) - 2) / 4; });
    bias.Fill([this] { return random.Uniform(-1.5F, 0.5F); });
    args = {.x = x.input(),
            .gate = gate.matrix(),
            .e_score_correction_bias = bias.input(),
            .scoring_func = route.scoring_func,
            .topk_method = route.topk_method,
            .n_group = route.n_group,
            .topk_group = route.topk_group,
            .norm_topk_prob = route.norm_topk_prob,
            .routed_scaling_factor = 2.5F,
            .expert_ids = expert_ids.view(),
            .weights = weights.view()};
  }

  std::vector<float> GateValues(const Case& route) {
    std::vector<float> values(static_cast<size_t>(route.num_experts * route.hidden_size));
    for (float& value : values) {
      value = static_cast<float>(random.Below(7) - 3) / 8;
    }
    return values;
  }

  void Run(const KernelTable& table, test::KernelRunner& runner) {
    expert_ids.Poison();
    weights.Poison();
    table.moe_route(args, runner.context);
  }

  test::Random random;
  test::GuardedTensor<float, 2> x;
  test::WeightBuffer gate;
  test::GuardedTensor<float, 1> bias;
  test::GuardedTensor<int32_t, 2> expert_ids;
  test::GuardedTensor<float, 2> weights;
  MoeRouteArgs args;
};

class MoeRouteParityTest : public test::ParityTest {};

TEST_P(MoeRouteParityTest, ExactLogitsGiveTheSameChoice) {
  for (const Case& route : kCases) {
    SCOPED_TRACE(testing::Message() << route.num_tokens << " tokens, " << route.top_k << " of "
                                    << route.num_experts << " experts");
    Problem problem(GetParam().weights, route);
    problem.Run(reference_, *runners_[0]);
    const std::vector<int32_t> expected_ids = problem.expert_ids.Elements();
    const std::vector<float> expected_weights = problem.weights.Elements();
    const std::string x_before = problem.x.Bytes();
    for (const auto& runner : runners_) {
      problem.Run(table_, *runner);
      EXPECT_EQ(problem.expert_ids.Elements(), expected_ids);
      EXPECT_TRUE(test::HasSameBits(problem.weights.Elements(), expected_weights));
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
  problem.gate = test::WeightBuffer::MakeRandom(GetParam().weights, 64, 700, problem.random);
  problem.args.gate = problem.gate.matrix();
  problem.x.Fill([&] { return problem.random.Normal(); });
  const std::vector<double> row_norms = test::RowNorms(problem.gate.matrix());
  const double gate_norm = *std::max_element(row_norms.begin(), row_norms.end());
  std::vector<double> tolerances;
  for (int64_t t = 0; t < 33; ++t) {
    const double logit_error = test::Gamma(700) * gate_norm * test::Norm(problem.x.input().Row(t));
    tolerances.insert(tolerances.end(), 6, 2.5 * (2 * logit_error + 8 * test::kUnit));
  }
  problem.Run(reference_, *runners_[0]);
  const std::vector<float> expected = problem.weights.Elements();
  for (const auto& runner : runners_) {
    problem.Run(table_, *runner);
    EXPECT_TRUE(test::IsClose(problem.weights.Elements(), expected, tolerances));
  }
}

TEST_P(MoeRouteParityTest, ARowHasTheSameBitsInAnyBatch) {
  for (const Case& route : kCases) {
    Problem problem(GetParam().weights, route);
    problem.gate = test::WeightBuffer::MakeRandom(
        GetParam().weights, route.num_experts, route.hidden_size, problem.random);
    problem.args.gate = problem.gate.matrix();
    problem.x.Fill([&] { return problem.random.Normal(); });
    for (const auto& runner : runners_) {
      problem.Run(table_, *runner);
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
    problem.Run(table_, *runners_[1]);
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
                         testing::ValuesIn(test::ParityCases()),
                         test::NameOfParam);

}  // namespace
}  // namespace hadal
