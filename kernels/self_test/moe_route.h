#pragma once

#include <cstdint>
#include <vector>

#include "kernels/kernel_table.h"
#include "kernels/self_test/random_tensors.h"

namespace hadal::self_test {

struct MoeRouteShape {
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

/// A call of the op, with guards around its tensors. Inputs and gate are small multiples of powers
/// of two: logits are exact in every back end, ties are frequent, and so ids and weights must agree
/// to the bit.
struct MoeRouteProblem {
  MoeRouteProblem(const WeightSpec& spec, const MoeRouteShape& shape);

  void Reset();
  void Call(const KernelTable& table, ExecutionContext& context) const {
    table.moe_route(args, context);
  }
  /// Ids, then weights.
  [[nodiscard]] std::vector<float> Outputs() const;
  [[nodiscard]] bool GuardsIntact() const;

  /// Reset and Call.
  void Run(const KernelTable& table, ExecutionContext& context);

  /// None.
  static std::vector<double> Tolerances(const std::vector<float>& expected) {
    return std::vector<double>(expected.size(), 0.0);
  }

  Random random;
  GuardedTensor<float, 2> x;
  WeightBuffer gate;
  GuardedTensor<float, 1> bias;
  GuardedTensor<int32_t, 2> expert_ids;
  GuardedTensor<float, 2> weights;
  MoeRouteArgs args;

 private:
  std::vector<float> GateValues(const MoeRouteShape& shape);
};

}  // namespace hadal::self_test
