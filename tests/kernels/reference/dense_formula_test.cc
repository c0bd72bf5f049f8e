// The dense ops against numbers worked out by hand. Every back end must agree.

#include <cmath>

#include <gmock/gmock.h>

#include "tests/support/kernel_runner.h"

namespace hadal {
namespace {

using testing::ElementsAre;
using testing::FloatEq;

class DenseFormulaTest : public testing::TestWithParam<std::string> {
 protected:
  const KernelTable table_ = test::TableOf(GetParam());
  test::KernelRunner runner_ = test::KernelRunner(2);
};

float Silu(float x) {
  return x / (1 + std::exp(-x));
}

TEST_P(DenseFormulaTest, Embedding) {
  const self_test::WeightBuffer table({}, 3, 2, {1, 2, 3, 4, 5, 6});
  const std::vector<int32_t> ids = {2, 0, 2};
  std::vector<float> y(6);
  table_.embedding({.token_ids = MakeView(ids.data(), 3),
                    .table = table.matrix(),
                    .y = MakeView(y.data(), 3, 2)},
                   runner_.context);
  EXPECT_THAT(y, ElementsAre(5, 6, 1, 2, 5, 6));
}

// The mean square of (3, 4) is 12.5, and of (1, 7) with epsilon 24 it is 25 + 24 = 49.
TEST_P(DenseFormulaTest, RmsNorm) {
  const std::vector<float> weight = {1, 2};
  std::vector<float> x = {3, 4};
  std::vector<float> y(2);
  RmsNormArgs args = {.x = MakeView(static_cast<const float*>(x.data()), 1, 2),
                      .weight = MakeView(weight.data(), 2),
                      .epsilon = 1e-20F,
                      .y = MakeView(y.data(), 1, 2)};
  table_.rms_norm(args, runner_.context);
  EXPECT_THAT(y, ElementsAre(FloatEq(3 / std::sqrt(12.5F)), FloatEq(8 / std::sqrt(12.5F))));
  x = {1, 7};
  args.epsilon = 24;
  table_.rms_norm(args, runner_.context);
  EXPECT_THAT(y, ElementsAre(FloatEq(1.0F / 7), FloatEq(2)));
}

TEST_P(DenseFormulaTest, LinearStoresOrAdds) {
  const self_test::WeightBuffer weight({}, 3, 2, {1, 2, 3, 4, 5, 6});  // rows are outputs
  const std::vector<float> x = {1, -1, 10, 100};
  std::vector<float> y(6, 7.0F);
  LinearArgs args = {.x = MakeView(x.data(), 2, 2),
                     .weight = weight.matrix(),
                     .output = Output::kStore,
                     .y = MakeView(y.data(), 2, 3)};
  table_.linear(args, runner_.context);
  EXPECT_THAT(y, ElementsAre(-1, -1, -1, 210, 430, 650));
  args.output = Output::kAdd;
  table_.linear(args, runner_.context);
  EXPECT_THAT(y, ElementsAre(-2, -2, -2, 420, 860, 1300));
}

// gate(x) = x0, up(x) = 10 x1, down = (1, -2): the residual y stays in the sum.
TEST_P(DenseFormulaTest, MlpAddsTheGatedProduct) {
  const self_test::WeightBuffer gate({}, 1, 2, {1, 0});
  const self_test::WeightBuffer up({}, 1, 2, {0, 10});
  const self_test::WeightBuffer down({}, 2, 1, {1, -2});
  const std::vector<float> x = {2, 3};
  std::vector<float> y = {100, 200};
  table_.mlp(
      {.x = MakeView(x.data(), 1, 2),
       .weights = {.gate_proj = gate.matrix(), .up_proj = up.matrix(), .down_proj = down.matrix()},
       .y = MakeView(y.data(), 1, 2)},
      runner_.context);
  EXPECT_THAT(y, ElementsAre(FloatEq(100 + 30 * Silu(2)), FloatEq(200 - 60 * Silu(2))));
}

// Expert e has down = e + 1 and gates of 1: it gives (e + 1) silu(x) x. The weight comes after.
TEST_P(DenseFormulaTest, ExpertsAreWeightedAfterTheirDownProjection) {
  const self_test::WeightBuffer one({}, 1, 1, {1});
  const std::vector<float> downs = {1, 2, 3};
  std::vector<self_test::WeightBuffer> down;
  std::vector<MlpWeights> experts;
  for (const float value : downs) {
    down.emplace_back(self_test::WeightSpec{}, 1, 1, std::vector<float>{value});
    experts.push_back(
        {.gate_proj = one.matrix(), .up_proj = one.matrix(), .down_proj = down.back().matrix()});
  }
  const std::vector<float> x = {2, -1};
  const std::vector<int32_t> expert_ids = {2, 0, 1, 2};
  const std::vector<float> weights = {0.5F, 0.25F, 1, 0};
  std::vector<float> y = {10, 20};
  table_.moe_experts({.x = MakeView(x.data(), 2, 1),
                      .expert_ids = MakeView(expert_ids.data(), 2, 2),
                      .weights = MakeView(weights.data(), 2, 2),
                      .experts = MakeView(static_cast<const MlpWeights*>(experts.data()), 3),
                      .y = MakeView(y.data(), 2, 1)},
                     runner_.context);
  EXPECT_THAT(
      y,
      ElementsAre(FloatEq(10 + (0.5F * 3 + 0.25F) * Silu(2) * 2), FloatEq(20 + 2 * Silu(-1) * -1)));
}

INSTANTIATE_TEST_SUITE_P(BackEnds,
                         DenseFormulaTest,
                         testing::ValuesIn(AvailableBackEnds()),
                         test::NameOfBackEnd);

}  // namespace
}  // namespace hadal
