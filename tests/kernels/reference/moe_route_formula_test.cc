// The gate against routes worked out by hand. Every back end must find them.

#include <cmath>

#include <gmock/gmock.h>

#include "tests/support/kernel_runner.h"

namespace hadal {
namespace {

using testing::ElementsAre;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Routed {
  std::vector<int32_t> expert_ids;
  std::vector<float> weights;
};

class MoeRouteFormulaTest : public testing::TestWithParam<std::string> {
 protected:
  // Routes one token whose logits are given: a single input of 1, and a gate of one column.
  Routed Route(const std::vector<float>& logits, const std::vector<float>& bias, int64_t top_k) {
    const self_test::WeightBuffer gate({}, std::ssize(logits), 1, logits);
    const float one = 1;
    Routed routed = {.expert_ids = std::vector<int32_t>(static_cast<size_t>(top_k)),
                     .weights = std::vector<float>(static_cast<size_t>(top_k))};
    MoeRouteArgs args = args_;
    args.x = MakeView(&one, 1, 1);
    args.gate = gate.matrix();
    args.e_score_correction_bias = MakeView(bias.data(), bias.size());
    args.expert_ids = MakeView(routed.expert_ids.data(), 1, top_k);
    args.weights = MakeView(routed.weights.data(), 1, top_k);
    test::TableOf(GetParam()).moe_route(args, runner_.context);
    return routed;
  }

  MoeRouteArgs args_ = {.x = {},
                        .gate = {},
                        .e_score_correction_bias = {},
                        .scoring_func = ScoringFunc::kSigmoid,
                        .topk_method = TopkMethod::kGreedy,
                        .n_group = 1,
                        .topk_group = 1,
                        .norm_topk_prob = false,
                        .routed_scaling_factor = 1,
                        .expert_ids = {},
                        .weights = {}};
  test::KernelRunner runner_ = test::KernelRunner(2);
};

float Sigmoid(float x) {
  return 1 / (1 + std::exp(-x));
}

// The logit whose sigmoid is `score`.
float Logit(float score) {
  return std::log(score / (1 - score));
}

std::vector<float> Logits(const std::vector<float>& scores) {
  std::vector<float> logits;
  for (const float score : scores) {
    logits.push_back(Logit(score));
  }
  return logits;
}

void ExpectNear(const std::vector<float>& actual, const std::vector<float>& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i) {
    EXPECT_NEAR(actual[i], expected[i], 2e-6F * std::max(1.0F, std::abs(expected[i])));
  }
}

TEST_P(MoeRouteFormulaTest, GreedySoftmaxOverAllExperts) {
  args_.scoring_func = ScoringFunc::kSoftmax;
  args_.routed_scaling_factor = 16;
  // softmax of ln 1, ln 4, ln 2, ln 3 is 0.1, 0.4, 0.2, 0.3.
  const Routed routed = Route({0, std::log(4.0F), std::log(2.0F), std::log(3.0F)}, {}, 2);
  EXPECT_THAT(routed.expert_ids, ElementsAre(1, 3));
  ExpectNear(routed.weights, {6.4F, 4.8F});
}

TEST_P(MoeRouteFormulaTest, NormalisedSoftmaxIsNotScaled) {
  args_.scoring_func = ScoringFunc::kSoftmax;
  args_.norm_topk_prob = true;
  args_.routed_scaling_factor = 16;
  const Routed routed = Route({0, std::log(4.0F), std::log(2.0F), std::log(3.0F)}, {}, 2);
  ExpectNear(routed.weights, {4.0F / 7, 3.0F / 7});
}

TEST_P(MoeRouteFormulaTest, NormalisedSigmoidIsScaled) {
  args_.norm_topk_prob = true;
  args_.routed_scaling_factor = 2.5F;
  const Routed routed = Route(Logits({0.6F, 0.1F, 0.2F}), {}, 2);
  EXPECT_THAT(routed.expert_ids, ElementsAre(0, 2));
  ExpectNear(routed.weights, {2.5F * 0.75F, 2.5F * 0.25F});
}

TEST_P(MoeRouteFormulaTest, TiesGoToTheLowerId) {
  EXPECT_THAT(Route({1, 2, 2, 1, 2, 2}, {}, 3).expert_ids, ElementsAre(1, 2, 4));
  EXPECT_THAT(Route({0, 0, 0, 0}, {}, 4).expert_ids, ElementsAre(0, 1, 2, 3));
  // Tied groups too: both have the maximum 2.
  args_.topk_method = TopkMethod::kGroupLimitedGreedy;
  args_.n_group = 2;
  EXPECT_THAT(Route({0, 2, 2, 1}, {}, 2).expert_ids, ElementsAre(1, 0));
}

// Softmax runs over all experts before groups are masked, so weights keep the small probability
// that they have among all: 0.2 and 0.1, not 2/3 and 1/3.
TEST_P(MoeRouteFormulaTest, SoftmaxComesBeforeTheGroupMask) {
  args_.scoring_func = ScoringFunc::kSoftmax;
  args_.topk_method = TopkMethod::kGroupLimitedGreedy;
  args_.n_group = 2;
  // Groups {0.1, 0.4} and {0.2, 0.3}: the first has the highest maximum.
  const Routed routed = Route({0, std::log(4.0F), std::log(2.0F), std::log(3.0F)}, {}, 2);
  EXPECT_THAT(routed.expert_ids, ElementsAre(1, 0));
  ExpectNear(routed.weights, {0.4F, 0.1F});
}

// Groups {0.9, 0.1} and {0.6, 0.6}: the first wins by maximum, the second by the sum of two.
TEST_P(MoeRouteFormulaTest, GroupScoreIsTheMaximumOrTheSumOfTwo) {
  const std::vector<float> logits = Logits({0.9F, 0.1F, 0.6F, 0.6F});
  args_.n_group = 2;
  args_.topk_method = TopkMethod::kGroupLimitedGreedy;
  EXPECT_THAT(Route(logits, {}, 2).expert_ids, ElementsAre(0, 1));
  args_.topk_method = TopkMethod::kNoauxTc;
  EXPECT_THAT(Route(logits, {0, 0, 0, 0}, 2).expert_ids, ElementsAre(2, 3));
}

// The sum is of the two best: three small ones do not add up. Group {0.5, 0.5, 0.1} has 1.0 (1.1
// with all three), group {0.55, 0.5, 0.0} has 1.05.
TEST_P(MoeRouteFormulaTest, OnlyTwoCountForAGroup) {
  args_.topk_method = TopkMethod::kNoauxTc;
  args_.n_group = 2;
  const std::vector<float> bias(6, 0.0F);
  EXPECT_THAT(Route(Logits({0.5F, 0.5F, 0.1F, 0.55F, 0.5F, 1e-6F}), bias, 1).expert_ids,
              ElementsAre(3));
}

TEST_P(MoeRouteFormulaTest, GroupsOfOneExpert) {
  args_.topk_method = TopkMethod::kNoauxTc;
  args_.n_group = 3;
  args_.topk_group = 2;
  EXPECT_THAT(Route({1, 3, 2}, {0, 0, 0}, 2).expert_ids, ElementsAre(1, 2));
}

// The bias chooses, and never weighs.
TEST_P(MoeRouteFormulaTest, TheBiasIsNotInTheWeights) {
  args_.topk_method = TopkMethod::kNoauxTc;
  const Routed routed = Route(Logits({0.9F, 0.5F, 0.2F}), {0, 0, 5}, 2);
  EXPECT_THAT(routed.expert_ids, ElementsAre(2, 0));
  ExpectNear(routed.weights, {0.2F, 0.9F});
}

// All choices of the kept group {0, 1} are below zero. Masking the others with 0 instead of minus
// infinity would choose experts 2 and 3.
TEST_P(MoeRouteFormulaTest, MaskedGroupsLoseToNegativeChoices) {
  args_.topk_method = TopkMethod::kNoauxTc;
  args_.n_group = 2;
  const Routed routed = Route(Logits({0.5F, 0.4F, 0.9F, 0.8F}), {-1, -1, -2, -2}, 2);
  EXPECT_THAT(routed.expert_ids, ElementsAre(0, 1));
  ExpectNear(routed.weights, {0.5F, 0.4F});
}

// Scores of 0 divide by 1e-20, not by 0.
TEST_P(MoeRouteFormulaTest, ZeroScoresNormaliseToZero) {
  args_.norm_topk_prob = true;
  args_.routed_scaling_factor = 2.5F;
  const Routed routed = Route({-200, -200, -200}, {}, 2);
  EXPECT_THAT(routed.expert_ids, ElementsAre(0, 1));
  EXPECT_THAT(routed.weights, ElementsAre(0.0F, 0.0F));
  // This score is about 1e-20 itself: half of the weight goes to the constant.
  const float score = Sigmoid(-46);
  ExpectNear(Route({-46, -200}, {}, 1).weights, {2.5F * score / (score + 1e-20F)});
}

// A single NaN expert is chosen last; the others keep their order.
TEST_P(MoeRouteFormulaTest, NanIsLowerThanAnyNumber) {
  const Routed routed = Route({1, std::nanf(""), 3, -kInfinity}, {}, 4);
  EXPECT_THAT(routed.expert_ids, ElementsAre(2, 0, 3, 1));
  EXPECT_FLOAT_EQ(routed.weights[0], Sigmoid(3));
  EXPECT_EQ(routed.weights[2], 0.0F);
  EXPECT_TRUE(std::isnan(routed.weights[3]));
}

// A group of NaN loses; when it must be kept, its experts are distinct and of the kept groups.
TEST_P(MoeRouteFormulaTest, NanGroups) {
  const float nan = std::nanf("");
  args_.topk_method = TopkMethod::kNoauxTc;
  args_.n_group = 3;
  args_.topk_group = 1;
  const std::vector<float> bias(6, -3.0F);
  EXPECT_THAT(Route({nan, nan, -5, -4, nan, 9}, bias, 2).expert_ids, ElementsAre(3, 2));
  args_.topk_group = 2;
  EXPECT_THAT(Route({nan, nan, -5, -4, nan, nan}, bias, 4).expert_ids, ElementsAre(3, 2, 0, 1));
}

INSTANTIATE_TEST_SUITE_P(BackEnds,
                         MoeRouteFormulaTest,
                         testing::ValuesIn(AvailableBackEnds()),
                         test::NameOfBackEnd);

}  // namespace
}  // namespace hadal
