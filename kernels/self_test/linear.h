#pragma once

#include <cstdint>
#include <vector>

#include "kernels/kernel_table.h"
#include "kernels/self_test/random_tensors.h"

namespace hadal::self_test {

struct LinearShape {
  int64_t num_tokens;
  int64_t in;
  int64_t out;
  Output output = Output::kStore;
};

/// A call of the op with random numbers, guards around x and y, and how exact it must be.
struct LinearProblem {
  LinearProblem(const WeightSpec& spec, const LinearShape& shape);

  [[nodiscard]] LinearArgs Args() const {
    return {.x = x.input(), .weight = weight.matrix(), .output = output, .y = y.view()};
  }

  /// y as it is before a call: numbers to add to, or guards that a store must overwrite.
  void Reset();
  void Call(const KernelTable& table, ExecutionContext& context) const {
    table.linear(Args(), context);
  }
  [[nodiscard]] std::vector<float> Outputs() const { return y.Elements(); }
  [[nodiscard]] bool GuardsIntact() const { return x.GuardsIntact() && y.GuardsIntact(); }

  /// |error| <= gamma(in) |x| |w| for the sum, and one rounding of the result (two when it is
  /// added).
  [[nodiscard]] std::vector<double> Tolerances(const std::vector<float>& expected) const;

  Random random;
  Output output;
  GuardedTensor<float, 2> x;
  WeightBuffer weight;
  GuardedTensor<float, 2> y;
  std::vector<float> start;
};

}  // namespace hadal::self_test
