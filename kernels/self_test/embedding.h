#pragma once

#include <cstdint>
#include <vector>

#include "kernels/kernel_table.h"
#include "kernels/self_test/random_tensors.h"

namespace hadal::self_test {

struct EmbeddingShape {
  int64_t num_tokens;
  int64_t vocab_size;
  int64_t hidden_size;
};

/// A call of the op with random numbers and guards around its tensors. Rows are copied and widened,
/// which is exact.
struct EmbeddingProblem {
  EmbeddingProblem(const WeightSpec& spec, const EmbeddingShape& shape);

  [[nodiscard]] EmbeddingArgs Args() const {
    return {.token_ids = ids.input(), .table = table.matrix(), .y = y.view()};
  }

  void Reset() { y.Poison(); }
  void Call(const KernelTable& kernels, ExecutionContext& context) const {
    kernels.embedding(Args(), context);
  }
  [[nodiscard]] std::vector<float> Outputs() const { return y.Elements(); }
  [[nodiscard]] bool GuardsIntact() const { return ids.GuardsIntact() && y.GuardsIntact(); }

  /// None.
  static std::vector<double> Tolerances(const std::vector<float>& expected) {
    return std::vector<double>(expected.size(), 0.0);
  }

  Random random;
  WeightBuffer table;
  GuardedTensor<int32_t, 1> ids;  // the first and the last token among them
  GuardedTensor<float, 2> y;
};

}  // namespace hadal::self_test
