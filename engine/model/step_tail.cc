#include "engine/model/step_tail.h"

#include <type_traits>

namespace hadal {

static_assert(std::is_same_v<TokenId, int32_t>, "results are one piece of one type");

StepResults StepResults::Allocate(ScratchArena& arena,
                                  const std::array<int64_t, 3>& expert_ids,
                                  int64_t num_tokens,
                                  int64_t num_choices) {
  const int64_t num_expert_ids = expert_ids[0] * expert_ids[1] * expert_ids[2];
  const auto all = arena.Allocate<int32_t>(num_expert_ids + num_tokens + num_choices);
  int32_t* const is_finite = all.data + num_expert_ids;
  return {.all = all,
          .expert_ids = MakeView(all.data, expert_ids[0], expert_ids[1], expert_ids[2]),
          .is_finite = MakeView(is_finite, num_tokens),
          .token_ids = MakeView(is_finite + num_tokens, num_choices)};
}

void BeginFetch(const Device& device, const StepResults& there, const StepResults& host) {
  if (there.all.data != host.all.data) {
    device.begin_copy(host.all.data,
                      there.all.data,
                      static_cast<size_t>(host.all.num_elements()) * sizeof(int32_t));
  }
}

void LaunchTail(const KernelTable& kernels,
                const StepTail& tail,
                const WeightMatrix& lm_head,
                const TensorView<const float, 2>& hidden,
                const TensorView<TokenId, 1>& token_ids,
                ExecutionContext& context) {
  if (tail.rows.extent(0) == 0) {
    return;
  }
  kernels.gather_rows({.x = hidden, .rows = tail.rows, .y = tail.hidden}, context);
  kernels.linear({.x = tail.hidden, .weight = lm_head, .output = Output::kStore, .y = tail.logits},
                 context);
  if (tail.choices.extent(0) > 0) {
    kernels.sample({.logits = tail.logits, .choices = tail.choices, .token_ids = token_ids},
                   context);
  }
}

}  // namespace hadal
