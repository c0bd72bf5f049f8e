#pragma once

#include <cstdint>
#include <vector>

#include "kernels/kernel_table.h"
#include "kernels/self_test/random_tensors.h"

namespace hadal::self_test {

struct GatherShape {
  int64_t num_rows;
  int64_t num_gathered;
  int64_t width;
};

/// A call of the op with random numbers and guards around its tensors. Rows are copied, which is
/// exact.
struct GatherRowsProblem {
  explicit GatherRowsProblem(const GatherShape& shape);

  [[nodiscard]] GatherRowsArgs Args() const {
    return {.x = x.input(), .rows = rows.input(), .y = y.view()};
  }

  void Reset() { y.Poison(); }
  void Call(const KernelTable& table, ExecutionContext& context) const {
    table.gather_rows(Args(), context);
  }
  [[nodiscard]] std::vector<float> Outputs() const { return y.Elements(); }
  [[nodiscard]] bool GuardsIntact() const {
    return x.GuardsIntact() && rows.GuardsIntact() && y.GuardsIntact();
  }

  /// None.
  static std::vector<double> Tolerances(const std::vector<float>& expected) {
    return std::vector<double>(expected.size(), 0.0);
  }

  GuardedTensor<float, 2> x;
  GuardedTensor<int32_t, 1> rows;  // the last one first, where there are several
  GuardedTensor<float, 2> y;
};

}  // namespace hadal::self_test
