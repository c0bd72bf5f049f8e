// How many kernels the ops of a decode step launch: where tokens are few, the time between two of
// them is a good part of a step (docs/adr/0032).

#include <array>

#include <gtest/gtest.h>

#include "kernels/cuda/product/plan.h"
#include "kernels/self_test/linear.h"
#include "kernels/self_test/mla_attention.h"
#include "kernels/self_test/mla_project.h"
#include "kernels/self_test/mlp.h"
#include "kernels/self_test/moe_experts.h"
#include "kernels/self_test/moe_route.h"
#include "tests/support/cuda_emulation/emulator.h"
#include "tests/support/cuda_emulation/races.h"
#include "tests/support/emulated_table.h"
#include "tests/support/kernel_runner.h"

namespace hadal {
namespace {

constexpr int64_t kNumTokens = 2;

class LaunchCountTest : public testing::TestWithParam<self_test::WeightSpec> {
 protected:
  void SetUp() override {
    if (!test::EmulatesCuda() && !emulation::kFindsRaces) {
      GTEST_SKIP() << "no emulated GPU in this build";
    }
  }

  template <typename Op, typename Args>
  int64_t Count(const Op& op, const Args& args) {
    const int64_t before = emulation::NumLaunches();
    op(args, runner_.context);
    return emulation::NumLaunches() - before;
  }

  // `args` with rows that lie as the model has them: aligned, without gaps.
  template <typename Args>
  Args Packed(Args args) const {
    args.x = MakeView(rows_.data(), kNumTokens, args.x.extent(1));
    return args;
  }

  const KernelTable table_ = test::TableOf(test::kEmulatedCudaName);
  test::KernelRunner runner_ = test::KernelRunner(1);
  const std::vector<float> rows_ = std::vector<float>(kNumTokens * 2048);
};

TEST_P(LaunchCountTest, Products) {
  const self_test::LinearProblem linear(GetParam(),
                                        {.num_tokens = kNumTokens, .in = 2048, .out = 512});
  ASSERT_GT(cuda::NumSegments(linear.Args().weight), 1);
  EXPECT_EQ(Count(table_.linear, Packed(linear.Args())), 1);
  const self_test::MlpProblem mlp(
      GetParam(), {.num_tokens = kNumTokens, .hidden_size = 256, .intermediate_size = 1408});
  EXPECT_EQ(Count(table_.mlp, Packed(mlp.Args())), 2);
}

TEST_P(LaunchCountTest, Experts) {
  const self_test::MoeRouteProblem route(GetParam(),
                                         {.num_tokens = kNumTokens,
                                          .hidden_size = 256,
                                          .num_experts = 64,
                                          .top_k = 6,
                                          .scoring_func = ScoringFunc::kSoftmax,
                                          .topk_method = TopkMethod::kGreedy,
                                          .n_group = 1,
                                          .topk_group = 1,
                                          .norm_topk_prob = false});
  EXPECT_EQ(Count(table_.moe_route, Packed(route.args)), 2);
  const self_test::MoeExpertsProblem experts(GetParam(),
                                             {.num_tokens = kNumTokens,
                                              .hidden_size = 256,
                                              .intermediate_size = 128,
                                              .num_experts = 64,
                                              .top_k = 6,
                                              .load = self_test::ExpertChoice::kRandom,
                                              .shared_size = 256});
  EXPECT_EQ(Count(table_.moe_experts, Packed(experts.Args())), 2);
}

TEST_P(LaunchCountTest, Attention) {
  self_test::MlaProjectProblem project(GetParam(),
                                       {.num_tokens = kNumTokens,
                                        .hidden_size = 256,
                                        .q_lora_rank = 0,
                                        .num_heads = 2,
                                        .nope_dim = 128,
                                        .rope_dim = 64,
                                        .kv_lora_rank = 512},
                                       DType::kBf16);
  EXPECT_EQ(Count(table_.mla_project, Packed(project.Args())), 2);
  self_test::MlaAttentionProblem attention(GetParam(),
                                           {.num_heads = 2,
                                            .nope_dim = 128,
                                            .rope_dim = 64,
                                            .kv_lora_rank = 512,
                                            .v_head_dim = 128,
                                            .block_size = 64,
                                            .sequences = {{700, 1}, {20, 1}}},
                                           DType::kBf16);
  EXPECT_EQ(Count(table_.mla_attention, attention.Args(MlaForm::kAuto)), 3);
}

constexpr std::array kSpecs = {
    self_test::WeightSpec{.format = WeightFormat::kBf16},
    self_test::WeightSpec{.format = WeightFormat::kFp8Block, .block_rows = 128, .block_cols = 128}};

std::string NameOfSpec(const testing::TestParamInfo<self_test::WeightSpec>& info) {
  return NameOf(info.param);
}

INSTANTIATE_TEST_SUITE_P(Formats, LaunchCountTest, testing::ValuesIn(kSpecs), NameOfSpec);

}  // namespace
}  // namespace hadal
