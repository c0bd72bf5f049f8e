#pragma once

#include <cstdint>
#include <vector>

#include "kernels/kernel_table.h"
#include "kernels/self_test/random_tensors.h"

namespace hadal::self_test {

struct SampleShape {
  int64_t num_rows;
  int64_t vocab_size;
};

/// A call of the op, with guards around its tensors: rows of logits of several spreads, from equal
/// ones to one that has it all, each with choices by many parameters. Tokens must agree exactly.
struct SampleProblem {
  explicit SampleProblem(const SampleShape& shape);

  [[nodiscard]] SampleArgs Args() const {
    return {.logits = logits.input(), .choices = choices.input(), .token_ids = token_ids.view()};
  }

  void Reset() { token_ids.Poison(); }
  void Call(const KernelTable& table, ExecutionContext& context) const {
    table.sample(Args(), context);
  }
  [[nodiscard]] std::vector<float> Outputs() const;
  [[nodiscard]] bool GuardsIntact() const;

  /// None.
  static std::vector<double> Tolerances(const std::vector<float>& expected) {
    return std::vector<double>(expected.size(), 0.0);
  }

  GuardedTensor<float, 2> logits;
  GuardedTensor<SampleChoice, 1> choices;
  GuardedTensor<TokenId, 1> token_ids;

 private:
  void FillRow(int64_t row, Random& random);
};

}  // namespace hadal::self_test
