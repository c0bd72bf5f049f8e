#pragma once

#include <cstdint>
#include <vector>

#include "kernels/kernel_table.h"
#include "kernels/self_test/random_tensors.h"

namespace hadal::self_test {

/// A call of the op with random numbers, guards around its tensors, and how exact it must be.
struct RmsNormProblem {
  RmsNormProblem(int64_t num_tokens, int64_t hidden_size);

  [[nodiscard]] RmsNormArgs Args() const {
    return {.x = x.input(), .weight = weight.input(), .epsilon = 1e-6F, .y = y.view()};
  }

  void Reset() { y.Poison(); }
  void Call(const KernelTable& table, ExecutionContext& context) const {
    table.rms_norm(Args(), context);
  }
  [[nodiscard]] std::vector<float> Outputs() const { return y.Elements(); }
  [[nodiscard]] bool GuardsIntact() const;

  /// The mean square has a relative error of gamma(n), its terms being positive; the root halves
  /// it. Division, root, the sum with epsilon and two products round once each, the result once
  /// more.
  [[nodiscard]] std::vector<double> Tolerances(const std::vector<float>& expected) const;

  GuardedTensor<float, 2> x;
  GuardedTensor<float, 1> weight;
  GuardedTensor<float, 2> y;
};

}  // namespace hadal::self_test
