#pragma once

#include <array>
#include <cstdint>

#include "kernels/execution_context.h"
#include "kernels/kernel_table.h"
#include "kernels/scratch_arena.h"

namespace hadal {

/// Tokens to choose behind a model's last layer, which what launches the layers launches with them.
/// All empty: none. `hidden` and `logits` lie where the kernels' memory is, and are written.
struct StepTail {
  TensorView<const int32_t, 1> rows = {};          // [num_rows] of hidden states, for logits
  TensorView<const SampleChoice, 1> choices = {};  // [num_choices] among rows of `logits`
  TensorView<float, 2> hidden = {};                // [num_rows, hidden_size]
  TensorView<float, 2> logits = {};                // [num_rows, vocab_size]
};

/// What comes to the host when a step's ops are done: in one piece, by one copy.
struct StepResults {
  /// Room for them in `arena`, until its innermost ScratchScope ends.
  static StepResults Allocate(ScratchArena& arena,
                              const std::array<int64_t, 3>& expert_ids,
                              int64_t num_tokens,
                              int64_t num_choices);

  TensorView<int32_t, 1> all;         // what follows, one behind the other
  TensorView<int32_t, 3> expert_ids;  // [num_moe_layers, num_tokens, num_experts_per_tok]
  TensorView<int32_t, 1> is_finite;   // [num_tokens] whether hidden states are: 1 or 0
  TensorView<TokenId, 1> token_ids;   // [num_choices]
};

/// Begins to copy `there`, which ops write on `device`, to `host`, which has its shape. Nothing to
/// do where they are the same.
void BeginFetch(const Device& device, const StepResults& there, const StepResults& host);

/// Launches the ops of `tail`, which lies on the device, for `hidden` [num_tokens, hidden_size].
void LaunchTail(const KernelTable& kernels,
                const StepTail& tail,
                const WeightMatrix& lm_head,
                const TensorView<const float, 2>& hidden,
                const TensorView<TokenId, 1>& token_ids,
                ExecutionContext& context);

}  // namespace hadal
