#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "kernels/kernel_table.h"
#include "kernels/self_test/random_mlp.h"
#include "kernels/self_test/random_tensors.h"

namespace hadal::self_test {

/// Which experts tokens are sent to: any; any but that everyone's first is expert 2; the last top_k
/// alone.
enum class ExpertChoice : int8_t { kRandom, kOneExpert, kLastExperts };

struct MoeExpertsShape {
  int64_t num_tokens;
  int64_t hidden_size;
  int64_t intermediate_size;
  int64_t num_experts;
  int64_t top_k;
  ExpertChoice load;
  int64_t shared_size = 0;  // intermediate size of the shared experts; 0: there are none
};

/// A call of the op with random numbers, guards around its tensors, and how exact it must be.
struct MoeExpertsProblem {
  MoeExpertsProblem(const WeightSpec& spec, const MoeExpertsShape& shape);

  [[nodiscard]] MoeExpertsArgs Args() const {
    return {.x = x.input(),
            .expert_ids = expert_ids.input(),
            .weights = weights.input(),
            .experts = MakeView(experts.data(), experts.size()),
            .shared_experts = shared.has_value() ? std::optional(shared->weights()) : std::nullopt,
            .y = y.view()};
  }

  /// y as it is before a call.
  void Reset();
  void Call(const KernelTable& table, ExecutionContext& context) const {
    table.moe_experts(Args(), context);
  }
  [[nodiscard]] std::vector<float> Outputs() const { return y.Elements(); }
  [[nodiscard]] bool GuardsIntact() const;

  /// The three in a row.
  std::vector<float> Run(const KernelTable& table, ExecutionContext& context);

  /// Each expert's own bound times its weight; the sum of n weighted results and of what was there
  /// rounds n + 3 times.
  [[nodiscard]] std::vector<double> Tolerances(const std::vector<float>& expected) const;

  Random random;
  std::vector<RandomMlp> mlps;
  std::vector<MlpWeights> experts;
  std::optional<RandomMlp> shared;
  GuardedTensor<float, 2> x;
  GuardedTensor<int32_t, 2> expert_ids;
  GuardedTensor<float, 2> weights;
  GuardedTensor<float, 2> y;
  std::vector<float> start;

 private:
  void ChooseExperts(const MoeExpertsShape& shape, int64_t token);
};

}  // namespace hadal::self_test
