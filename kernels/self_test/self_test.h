#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/clock.h"
#include "kernels/kernel_table.h"
#include "kernels/self_test/random_tensors.h"

namespace hadal::self_test {

/// The widths of a model, as in its config.json.
struct ModelShape {
  int64_t vocab_size;
  int64_t hidden_size;
  int64_t intermediate_size;
  int64_t moe_intermediate_size;
  int64_t num_attention_heads;
  int64_t q_lora_rank;  // 0: none
  int64_t kv_lora_rank;
  int64_t qk_nope_head_dim;
  int64_t qk_rope_head_dim;
  int64_t v_head_dim;
  int64_t n_routed_experts;  // 0: none, and the fields of experts do not count
  int64_t n_shared_experts;  // 0: none
  int64_t num_experts_per_tok;
  int64_t n_group;
  int64_t topk_group;
  bool norm_topk_prob;
  ScoringFunc scoring_func;
  TopkMethod topk_method;
};

/// Widths that no vector, tile or block divides, with all features at once.
ModelShape OddShape();

/// DeepSeek-V2-Lite's.
ModelShape LiteShape();

/// How one op did on one problem.
struct OpResult {
  std::string op;
  std::string implementation;
  std::string shape;          // "5 x 2048 to 512, bf16"
  double worst_error_share;   // the largest error as a share of its tolerance; infinite for NaN
  bool stayed_inside;         // nothing was written outside of the outputs
  Duration time{};            // the shortest of some calls
  Duration reference_time{};  // of one call
  [[nodiscard]] bool passed() const { return worst_error_share <= 1 && stayed_inside; }
};

struct SelfTestArgs {
  const KernelTable& table;
  const KernelTable& reference;
  const ModelShape& shape;
  const WeightSpec& weights;
  DType cache_dtype;  // of LatentCache
  ExecutionContext& context;
  const Clock& clock;
};

/// Runs each op of `table` on random inputs, for one token and for several, and holds the results
/// against those of `reference`, calling `report` after each. Inputs are as wide as the model's;
/// what only repeats rows (heads, experts, the vocabulary, hidden units of a network) is cut, so
/// that references end within seconds. Equal arguments give equal results, times aside.
void RunSelfTest(const SelfTestArgs& args, const std::function<void(const OpResult&)>& report);

}  // namespace hadal::self_test
