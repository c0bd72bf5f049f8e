#pragma once

#include <cstdint>
#include <vector>

#include "kernels/kernel_table.h"
#include "kernels/self_test/random_tensors.h"

namespace hadal::self_test {

/// A call of the op with guards around its tensors: every other row holds one number that is not
/// finite, of every kind and in all places by turns, and the others the largest that is.
struct CheckFiniteProblem {
  CheckFiniteProblem(int64_t num_rows, int64_t width);

  [[nodiscard]] CheckFiniteArgs Args() const {
    return {.x = x.input(), .is_finite = is_finite.view()};
  }

  void Reset() { is_finite.Poison(); }
  void Call(const KernelTable& table, ExecutionContext& context) const {
    table.check_finite(Args(), context);
  }
  [[nodiscard]] std::vector<float> Outputs() const;
  [[nodiscard]] bool GuardsIntact() const { return x.GuardsIntact() && is_finite.GuardsIntact(); }

  /// None.
  static std::vector<double> Tolerances(const std::vector<float>& expected) {
    return std::vector<double>(expected.size(), 0.0);
  }

  GuardedTensor<float, 2> x;
  GuardedTensor<int32_t, 1> is_finite;
};

}  // namespace hadal::self_test
