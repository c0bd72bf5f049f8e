#include "engine/step_cost.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "engine/checkpoint/model_summary.h"
#include "tests/support/golden.h"

namespace hadal {
namespace {

// v2-lite: hidden_size 60, 3 heads of 24 + 16 and 20, kv_lora_rank 48, no q_lora_rank; one dense
// layer of 104, two of 8 experts of 22 with a shared one of 44; vocab_size 272; all bf16.
TEST(StepCostTest, EqualsNumbersThatWereComputedByHand) {
  const Golden golden = Golden::Load("v2-lite");
  const StepCost cost(golden.config(), golden.weights(), DType::kBf16);
  const std::vector<int32_t> expert_tokens = {5,
                                              5,
                                              5,
                                              0,
                                              0,
                                              0,
                                              0,
                                              0,  //
                                              5,
                                              4,
                                              3,
                                              2,
                                              1,
                                              0,
                                              0,
                                              0};
  StepStats stats;
  cost.Estimate({.num_tokens = 5,
                 .num_logits_rows = 2,
                 .attended_tokens = 40,
                 .context_tokens = 12,
                 .expert_tokens = expert_tokens},
                stats);
  // Attention 7200 + 3840 + 6336 + 3600 in 3 layers, a dense network of 18720, gates of 480 and
  // shared experts of 7920 in 2 layers; experts of 3960; a head of 16320; 3 layers of 3 heads that
  // work on 112 numbers for each attended token.
  EXPECT_EQ(stats.flops, 2.0 * (5 * 98448 + 30 * 3960 + 2 * 16320 + 40 * 1008));
  EXPECT_EQ(stats.weight_bytes, 2 * (98448 + 8 * 3960 + 16320));
  EXPECT_EQ(stats.total_weight_bytes, 2 * (98448 + 16 * 3960 + 16320));
  EXPECT_EQ(stats.cache_bytes, 12 * 3 * 64 * 2);
  EXPECT_EQ(stats.num_moe_layers, 2);
  EXPECT_EQ(stats.n_routed_experts, 8);
  EXPECT_EQ(stats.expert_tokens, expert_tokens);
  EXPECT_EQ(stats.num_active_experts, 8);
  EXPECT_EQ(stats.active_expert_share(), 0.5);
  EXPECT_DOUBLE_EQ(stats.active_weight_share(), 146448.0 / 178128.0);
  EXPECT_EQ(stats.context_tokens, 12);
  EXPECT_EQ(stats.attended_tokens, 40);
  EXPECT_EQ(stats.num_logits_rows, 2);

  cost.Estimate({.num_tokens = 5,
                 .num_logits_rows = 0,
                 .attended_tokens = 40,
                 .context_tokens = 12,
                 .expert_tokens = expert_tokens},
                stats);
  EXPECT_EQ(stats.weight_bytes, 2 * (98448 + 8 * 3960)) << "the head is not read";
  EXPECT_EQ(StepStats().active_expert_share(), 0);
  EXPECT_EQ(StepStats().active_weight_share(), 0);
}

class StepCostOfGoldenTest : public testing::TestWithParam<std::string> {};

// Norms and biases, which StepCost leaves out.
int64_t NumVectorElements(const ModelConfig& config, int64_t num_moe_layers) {
  const int64_t in_layer = 2 * config.hidden_size + config.kv_lora_rank + config.q_lora_rank;
  const int64_t bias =
      config.topk_method == TopkMethod::kNoauxTc ? num_moe_layers * config.n_routed_experts : 0;
  return config.num_hidden_layers * in_layer + config.hidden_size + bias;
}

TEST_P(StepCostOfGoldenTest, ATokenWorksOnTheModelsActiveParameters) {
  const Golden golden = Golden::Load(GetParam());
  const ModelConfig& config = golden.config();
  const ModelSummary summary = SummarizeModel(config);
  std::vector<int32_t> expert_tokens(
      static_cast<size_t>(summary.num_moe_layers * config.n_routed_experts));
  for (int64_t layer = 0; layer < summary.num_moe_layers; ++layer) {
    const auto first = expert_tokens.begin() + layer * config.n_routed_experts;
    std::fill(first, first + config.num_experts_per_tok, 1);
  }
  StepStats stats;
  StepCost(config, golden.weights(), DType::kF32)
      .Estimate({.num_tokens = 1,
                 .num_logits_rows = 1,
                 .attended_tokens = 0,
                 .context_tokens = 7,
                 .expert_tokens = expert_tokens},
                stats);
  const int64_t num_vector_elements = NumVectorElements(config, summary.num_moe_layers);
  EXPECT_EQ(stats.flops / 2,
            static_cast<double>(summary.parameters.active_without_embedding - num_vector_elements));
  EXPECT_EQ(stats.cache_bytes, 7 * CacheBytesPerToken(config, DType::kF32));
  if (config.num_nextn_predict_layers == 0 && !config.quantization.has_value() &&
      !config.tie_word_embeddings) {
    const int64_t element_bytes = SizeOf(config.dtype);
    EXPECT_EQ(stats.total_weight_bytes,
              element_bytes * (summary.parameters.total - config.vocab_size * config.hidden_size -
                               num_vector_elements));
  }
}

INSTANTIATE_TEST_SUITE_P(Goldens,
                         StepCostOfGoldenTest,
                         testing::Values("v2-lite", "v2", "v3-fp8", "v3-f32", "moonlight", "kimi"),
                         [](const auto& test_case) {
                           std::string name = test_case.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace hadal
