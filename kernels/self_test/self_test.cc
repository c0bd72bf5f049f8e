#include "kernels/self_test/self_test.h"

#include <algorithm>
#include <array>

#include <absl/strings/str_format.h>

#include "kernels/self_test/bounds.h"
#include "kernels/self_test/check_finite.h"
#include "kernels/self_test/embedding.h"
#include "kernels/self_test/gather_rows.h"
#include "kernels/self_test/linear.h"
#include "kernels/self_test/mla_attention.h"
#include "kernels/self_test/mla_project.h"
#include "kernels/self_test/mlp.h"
#include "kernels/self_test/moe_experts.h"
#include "kernels/self_test/moe_route.h"
#include "kernels/self_test/rms_norm.h"
#include "kernels/self_test/sample.h"

namespace hadal::self_test {
namespace {

constexpr std::array<int64_t, 2> kNumTokens = {1, 5};
constexpr int64_t kMostRows = 512;  // of a matrix, where they are alike
constexpr int64_t kMostHeads = 2;
constexpr int64_t kMostSampled = 16'384;  // tokens of a vocabulary: the reference sorts them
constexpr int64_t kSpareExperts = 2;      // more than a token chooses
constexpr int kNumCalls = 3;

// Runs problems and tells of them.
class Runner {
 public:
  Runner(const SelfTestArgs& args, const std::function<void(const OpResult&)>& report)
      : args_(args), report_(report) {}

  // `Problem` as in kernels/self_test/<op>.h.
  template <typename Problem>
  void Run(const std::string& op, const std::string& shape, Problem problem) {
    OpResult result = {.op = op,
                       .implementation = ImplementationOf(op),
                       .shape = shape,
                       .worst_error_share = 0,
                       .stayed_inside = true};
    problem.Reset();
    result.reference_time = Call(problem, args_.reference);
    const std::vector<float> expected = problem.Outputs();
    const std::vector<double> tolerances = problem.Tolerances(expected);
    result.time = Duration::max();
    for (int i = 0; i < kNumCalls; ++i) {
      problem.Reset();
      result.time = std::min(result.time, Call(problem, args_.table));
      result.worst_error_share = std::max(result.worst_error_share,
                                          FindWorst(problem.Outputs(), expected, tolerances).share);
      result.stayed_inside = result.stayed_inside && problem.GuardsIntact();
    }
    report_(result);
  }

 private:
  template <typename Problem>
  Duration Call(Problem& problem, const KernelTable& table) {
    const TimePoint start = args_.clock.Now();
    problem.Call(table, args_.context);
    return args_.clock.Now() - start;
  }

  [[nodiscard]] std::string ImplementationOf(const std::string& op) const {
    std::string implementation;
    KernelTable::ForEachOp(
        [&](const char* name, const auto& entry) {
          if (op == name) {
            implementation = entry.implementation;
          }
        },
        args_.table);
    return implementation;
  }

  const SelfTestArgs& args_;
  const std::function<void(const OpResult&)>& report_;
};

void RunDense(const SelfTestArgs& args, int64_t num_tokens, Runner& runner) {
  const ModelShape& shape = args.shape;
  const std::string format = NameOf(args.weights);
  const int64_t hidden_size = shape.hidden_size;
  const int64_t vocab_size = std::min(shape.vocab_size, kMostRows);
  runner.Run("embedding",
             absl::StrFormat("%d x %d, %s", num_tokens, hidden_size, format),
             EmbeddingProblem(
                 args.weights,
                 {.num_tokens = num_tokens, .vocab_size = vocab_size, .hidden_size = hidden_size}));
  runner.Run("rms_norm",
             absl::StrFormat("%d x %d", num_tokens, hidden_size),
             RmsNormProblem(num_tokens, hidden_size));
  const int64_t attended_size = shape.num_attention_heads * shape.v_head_dim;
  for (const LinearShape& linear :
       {LinearShape{num_tokens, hidden_size, vocab_size, Output::kStore},
        LinearShape{num_tokens, attended_size, std::min(hidden_size, kMostRows), Output::kAdd}}) {
    runner.Run("linear",
               absl::StrFormat("%d x %d to %d, %s", num_tokens, linear.in, linear.out, format),
               LinearProblem(args.weights, linear));
  }
  const MlpShape mlp = {.num_tokens = num_tokens,
                        .hidden_size = hidden_size,
                        .intermediate_size = std::min(shape.intermediate_size, kMostRows)};
  runner.Run(
      "mlp",
      absl::StrFormat("%d x %d by %d, %s", num_tokens, hidden_size, mlp.intermediate_size, format),
      MlpProblem(args.weights, mlp));
  runner.Run(
      "gather_rows",
      absl::StrFormat("%d x %d", num_tokens, hidden_size),
      GatherRowsProblem({.num_rows = kMostRows, .num_gathered = num_tokens, .width = hidden_size}));
  runner.Run("check_finite",
             absl::StrFormat("%d x %d", num_tokens, hidden_size),
             CheckFiniteProblem(num_tokens, hidden_size));
  const int64_t sampled_vocab_size = std::min(shape.vocab_size, kMostSampled);
  runner.Run("sample",
             absl::StrFormat("%d x %d", num_tokens, sampled_vocab_size),
             SampleProblem({.num_rows = num_tokens, .vocab_size = sampled_vocab_size}));
}

void RunAttention(const SelfTestArgs& args, int64_t num_tokens, Runner& runner) {
  const ModelShape& shape = args.shape;
  const int64_t num_heads = std::min(shape.num_attention_heads, kMostHeads);
  const std::string formats =
      absl::StrFormat("%s, cache %s", NameOf(args.weights), NameOf(args.cache_dtype));
  runner.Run("mla_project",
             absl::StrFormat("%d x %d, %d heads, rank %d, %s",
                             num_tokens,
                             shape.hidden_size,
                             num_heads,
                             shape.kv_lora_rank,
                             formats),
             MlaProjectProblem(args.weights,
                               {.num_tokens = num_tokens,
                                .hidden_size = shape.hidden_size,
                                .q_lora_rank = shape.q_lora_rank,
                                .num_heads = num_heads,
                                .nope_dim = shape.qk_nope_head_dim,
                                .rope_dim = shape.qk_rope_head_dim,
                                .kv_lora_rank = shape.kv_lora_rank},
                               args.cache_dtype));
  runner.Run("mla_attention",
             absl::StrFormat("%d + 1 tokens, %d heads, rank %d, %s",
                             num_tokens,
                             num_heads,
                             shape.kv_lora_rank,
                             formats),
             MlaAttentionProblem(args.weights,
                                 {.num_heads = num_heads,
                                  .nope_dim = shape.qk_nope_head_dim,
                                  .rope_dim = shape.qk_rope_head_dim,
                                  .kv_lora_rank = shape.kv_lora_rank,
                                  .v_head_dim = shape.v_head_dim,
                                  .block_size = 64,
                                  .sequences = {{66, num_tokens}, {3, 1}}},
                                 args.cache_dtype));
}

void RunExperts(const SelfTestArgs& args, int64_t num_tokens, Runner& runner) {
  const ModelShape& shape = args.shape;
  const std::string format = NameOf(args.weights);
  runner.Run("moe_route",
             absl::StrFormat("%d x %d, %d of %d experts, %s",
                             num_tokens,
                             shape.hidden_size,
                             shape.num_experts_per_tok,
                             shape.n_routed_experts,
                             format),
             MoeRouteProblem(args.weights,
                             {.num_tokens = num_tokens,
                              .hidden_size = shape.hidden_size,
                              .num_experts = shape.n_routed_experts,
                              .top_k = shape.num_experts_per_tok,
                              .scoring_func = shape.scoring_func,
                              .topk_method = shape.topk_method,
                              .n_group = shape.n_group,
                              .topk_group = shape.topk_group,
                              .norm_topk_prob = shape.norm_topk_prob}));
  const MoeExpertsShape experts = {
      .num_tokens = num_tokens,
      .hidden_size = shape.hidden_size,
      .intermediate_size = std::min(shape.moe_intermediate_size, kMostRows),
      .num_experts = std::min(shape.n_routed_experts, shape.num_experts_per_tok + kSpareExperts),
      .top_k = shape.num_experts_per_tok,
      .load = ExpertChoice::kRandom,
      .shared_size = std::min(shape.n_shared_experts * shape.moe_intermediate_size, kMostRows)};
  runner.Run("moe_experts",
             absl::StrFormat("%d x %d by %d, %d of %d, %s",
                             num_tokens,
                             shape.hidden_size,
                             experts.intermediate_size,
                             experts.top_k,
                             experts.num_experts,
                             format),
             MoeExpertsProblem(args.weights, experts));
}

}  // namespace

ModelShape OddShape() {
  return {.vocab_size = 131,
          .hidden_size = 137,
          .intermediate_size = 75,
          .moe_intermediate_size = 43,
          .num_attention_heads = 3,
          .q_lora_rank = 41,
          .kv_lora_rank = 51,
          .qk_nope_head_dim = 25,
          .qk_rope_head_dim = 18,
          .v_head_dim = 21,
          .n_routed_experts = 24,
          .n_shared_experts = 1,
          .num_experts_per_tok = 5,
          .n_group = 4,
          .topk_group = 2,
          .norm_topk_prob = true,
          .scoring_func = ScoringFunc::kSigmoid,
          .topk_method = TopkMethod::kNoauxTc};
}

ModelShape LiteShape() {
  return {.vocab_size = 102'400,
          .hidden_size = 2048,
          .intermediate_size = 10'944,
          .moe_intermediate_size = 1408,
          .num_attention_heads = 16,
          .q_lora_rank = 0,
          .kv_lora_rank = 512,
          .qk_nope_head_dim = 128,
          .qk_rope_head_dim = 64,
          .v_head_dim = 128,
          .n_routed_experts = 64,
          .n_shared_experts = 2,
          .num_experts_per_tok = 6,
          .n_group = 1,
          .topk_group = 1,
          .norm_topk_prob = false,
          .scoring_func = ScoringFunc::kSoftmax,
          .topk_method = TopkMethod::kGreedy};
}

void RunSelfTest(const SelfTestArgs& args, const std::function<void(const OpResult&)>& report) {
  Runner runner(args, report);
  for (const int64_t num_tokens : kNumTokens) {
    RunDense(args, num_tokens, runner);
    RunAttention(args, num_tokens, runner);
    if (args.shape.n_routed_experts > 0) {
      RunExperts(args, num_tokens, runner);
    }
  }
}

}  // namespace hadal::self_test
