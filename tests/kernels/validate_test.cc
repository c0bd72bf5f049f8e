// A call with shapes that do not fit stops the process before any kernel runs.

#include <array>

#include "kernels/self_test/cache_buffer.h"
#include "kernels/self_test/random_mlp.h"
#include "tests/support/kernel_runner.h"

namespace hadal {
namespace {

class ValidateDeathTest : public testing::Test {
 protected:
  self_test::WeightBuffer Weight(int64_t rows, int64_t cols) {
    return self_test::WeightBuffer::MakeRandom({}, rows, cols, random_);
  }
  // A view of the given extents over memory that is never touched.
  template <typename T = float, typename... Extent>
  TensorView<T, sizeof...(Extent)> View(Extent... extent) {
    return MakeView(reinterpret_cast<T*>(memory_.data()), extent...);
  }

  alignas(64) std::array<std::byte, 4096> memory_ = {};
  self_test::Random random_ = self_test::Random(5);
  const KernelTable table_ = test::TableOf("reference");
  test::KernelRunner runner_ = test::KernelRunner(1);
};

TEST_F(ValidateDeathTest, Embedding) {
  const auto table = Weight(7, 4);
  EmbeddingArgs args = {.token_ids = View<int32_t>(3), .table = table.matrix(), .y = View(2, 4)};
  EXPECT_DEATH(table_.embedding(args, runner_.context), "y.extent\\(0\\)");
  args.y = View(3, 5);
  EXPECT_DEATH(Validate(args), "weight.cols == cols \\(4 vs. 5\\)");
}

TEST_F(ValidateDeathTest, RmsNorm) {
  RmsNormArgs args = {.x = View(2, 3), .weight = View(3), .epsilon = 1e-6F, .y = View(2, 3)};
  Validate(args);
  args.epsilon = 0;
  EXPECT_DEATH(table_.rms_norm(args, runner_.context), "args.epsilon > 0.0F");
  args.weight = View(4);
  EXPECT_DEATH(Validate(args), "\\(4 vs. 3\\)");
  args.y = View(3, 2);
  EXPECT_DEATH(Validate(args), "args.x.extents == args.y.extents");
}

TEST_F(ValidateDeathTest, Linear) {
  const auto weight = Weight(5, 3);
  LinearArgs args = {
      .x = View(2, 3), .weight = weight.matrix(), .output = Output::kStore, .y = View(2, 5)};
  Validate(args);
  args.y = View(2, 4);
  EXPECT_DEATH(table_.linear(args, runner_.context), "weight.rows == rows \\(5 vs. 4\\)");
  args.y = View(1, 5);
  EXPECT_DEATH(Validate(args), "\\(1 vs. 2\\)");
}

TEST_F(ValidateDeathTest, MlpAndExperts) {
  const self_test::RandomMlp mlp({}, 4, 6, random_);
  const self_test::RandomMlp other({}, 4, 5, random_);
  MlpArgs args = {.x = View(2, 4), .weights = mlp.weights(), .y = View(2, 4)};
  Validate(args);
  args.weights.down_proj = other.weights().down_proj;
  EXPECT_DEATH(table_.mlp(args, runner_.context), "weight.cols == cols \\(5 vs. 6\\)");

  const std::array experts = {mlp.weights()};
  MoeExpertsArgs moe = {.x = View(2, 4),
                        .expert_ids = View<int32_t>(2, 1),
                        .weights = View(2, 1),
                        .experts = MakeView(experts.data(), 1),
                        .y = View(2, 4)};
  Validate(moe);
  moe.weights = View(2, 2);
  EXPECT_DEATH(table_.moe_experts(moe, runner_.context), "args.weights.extents");
  moe.experts = MakeView(experts.data(), 0);
  moe.weights = View(2, 1);
  EXPECT_DEATH(Validate(moe), "args.experts.extent\\(0\\) > 0");
}

TEST_F(ValidateDeathTest, MoeRoute) {
  const auto gate = Weight(8, 4);
  const MoeRouteArgs good = {.x = View(2, 4),
                             .gate = gate.matrix(),
                             .e_score_correction_bias = View(8),
                             .scoring_func = ScoringFunc::kSigmoid,
                             .topk_method = TopkMethod::kNoauxTc,
                             .n_group = 4,
                             .topk_group = 2,
                             .norm_topk_prob = true,
                             .routed_scaling_factor = 1,
                             .expert_ids = View<int32_t>(2, 4),
                             .weights = View(2, 4)};
  Validate(good);
  MoeRouteArgs args = good;
  args.topk_group = 1;  // two experts, but four are wanted
  EXPECT_DEATH(table_.moe_route(args, runner_.context), "top_k <= ");
  args.topk_group = 5;
  EXPECT_DEATH(Validate(args), "topk_group");
  args = good;
  args.n_group = 3;
  EXPECT_DEATH(Validate(args), "num_experts % args.n_group == 0");
  args = good;
  args.e_score_correction_bias = View(0);
  EXPECT_DEATH(Validate(args), "e_score_correction_bias");
}

TEST_F(ValidateDeathTest, MlaProject) {
  const auto q_proj = Weight(2 * 6, 5);
  const auto kv_a_proj = Weight(3 + 4, 5);
  self_test::CacheBuffer cache(
      {.dtype = DType::kF32, .num_blocks = 1, .block_size = 4, .row_width = 7, .kv_lora_rank = 3});
  const MlaProjectArgs good = {.x = View(2, 5),
                               .weights = {.q_a_proj = {},
                                           .q_a_layernorm = {},
                                           .q_b_proj = q_proj.matrix(),
                                           .kv_a_proj_with_mqa = kv_a_proj.matrix(),
                                           .kv_a_layernorm = View(3)},
                               .rms_norm_eps = 1e-6F,
                               .angles = {.cos = View(2, 2), .sin = View(2, 2)},
                               .slots = View<int64_t>(2),
                               .cache = cache.cache(),
                               .q = View(2, 2, 6)};
  Validate(good);
  MlaProjectArgs args = good;
  args.angles.sin = View(2, 1);
  EXPECT_DEATH(table_.mla_project(args, runner_.context), "angles.sin.extent\\(1\\)");
  args = good;
  args.cache.row_width = 6;
  EXPECT_DEATH(Validate(args), "cache.row_width == row_width \\(6 vs. 7\\)");
  args = good;
  args.cache.kv_lora_rank = 4;
  EXPECT_DEATH(Validate(args), "cache.kv_lora_rank == kv_lora_rank \\(4 vs. 3\\)");
  args = good;
  args.cache.dtype = DType::kF16;
  EXPECT_DEATH(Validate(args), "cache.dtype");
  args = good;
  args.q.strides[1] = 7;  // a gap between the heads of a token
  EXPECT_DEATH(Validate(args), "args.q.strides\\[1\\]");
}

TEST_F(ValidateDeathTest, MlaAttention) {
  const auto kv_b_proj = Weight(2 * (4 + 3), 5);
  self_test::CacheBuffer cache({.dtype = DType::kBf16,
                                .num_blocks = 1,
                                .block_size = 4,
                                .row_width = 5 + 2,
                                .kv_lora_rank = 5});
  const MlaAttentionArgs good = {
      .q = View(3, 2, 6),
      .cache = cache.cache(),
      .query_starts = View<int32_t>(2),
      .block_tables = View<int32_t>(1, 1),
      .positions = View<int32_t>(3),
      .kv_b_proj = {.whole = kv_b_proj.matrix(), .keys = {}, .values = {}},
      .kv_lora_rank = 5,
      .v_head_dim = 3,
      .softmax_scale = 1,
      .form = MlaForm::kAuto,
      .out = View(3, 2, 3)};
  Validate(good);
  MlaAttentionArgs args = good;
  args.out = View(3, 2, 4);
  EXPECT_DEATH(table_.mla_attention(args, runner_.context), "\\(4 vs. 3\\)");
  args = good;
  args.positions = View<int32_t>(2);
  EXPECT_DEATH(Validate(args), "args.positions.extent\\(0\\)");
  args = good;
  args.query_starts = View<int32_t>(3);
  EXPECT_DEATH(Validate(args), "args.query_starts.extent\\(0\\)");
  args = good;
  args.cache.block_size = 0;
  EXPECT_DEATH(Validate(args), "cache.block_size > 0");
}

TEST_F(ValidateDeathTest, GatherRows) {
  GatherRowsArgs args = {.x = View(2, 9), .rows = View<int32_t>(3), .y = View(3, 9)};
  Validate(args);
  args.y = View(3, 8);
  EXPECT_DEATH(table_.gather_rows(args, runner_.context), "\\(8 vs. 9\\)");
  args.y = View(2, 9);
  EXPECT_DEATH(Validate(args), "\\(2 vs. 3\\)");
}

TEST_F(ValidateDeathTest, CheckFinite) {
  CheckFiniteArgs args = {.x = View(2, 9), .is_finite = View<int32_t>(2)};
  Validate(args);
  args.is_finite = View<int32_t>(3);
  EXPECT_DEATH(table_.check_finite(args, runner_.context), "\\(3 vs. 2\\)");
}

TEST_F(ValidateDeathTest, Sample) {
  SampleArgs args = {
      .logits = View(2, 9), .choices = View<SampleChoice>(3), .token_ids = View<TokenId>(3)};
  Validate(args);
  args.logits = View(2, 0);
  EXPECT_DEATH(table_.sample(args, runner_.context), "args.logits.extent\\(1\\) > 0");
  args.token_ids = View<TokenId>(2);
  EXPECT_DEATH(Validate(args), "\\(2 vs. 3\\)");
}

}  // namespace
}  // namespace hadal
