#pragma once

#include <cstdint>
#include <vector>

#include "kernels/kernel_table.h"
#include "kernels/self_test/random_mlp.h"
#include "kernels/self_test/random_tensors.h"

namespace hadal::self_test {

struct MlpShape {
  int64_t num_tokens;
  int64_t hidden_size;
  int64_t intermediate_size;
};

/// A call of the op with random numbers, guards around x and y, and how exact it must be.
struct MlpProblem {
  MlpProblem(const WeightSpec& spec, const MlpShape& shape);

  [[nodiscard]] MlpArgs Args() const {
    return {.x = x.input(), .weights = mlp.weights(), .y = y.view()};
  }

  /// y as it is before a call.
  void Reset();
  void Call(const KernelTable& table, ExecutionContext& context) const {
    table.mlp(Args(), context);
  }
  [[nodiscard]] std::vector<float> Outputs() const { return y.Elements(); }
  [[nodiscard]] bool GuardsIntact() const { return x.GuardsIntact() && y.GuardsIntact(); }

  /// The three in a row.
  std::vector<float> Run(const KernelTable& table, ExecutionContext& context);

  /// The network's own bound, and the rounding of the sum with what was there.
  [[nodiscard]] std::vector<double> Tolerances(const std::vector<float>& expected) const;

  Random random;
  RandomMlp mlp;
  GuardedTensor<float, 2> x;
  GuardedTensor<float, 2> y;
  std::vector<float> start;
};

}  // namespace hadal::self_test
