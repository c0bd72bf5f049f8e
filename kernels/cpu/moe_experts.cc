// Experts in two passes over the weights. First every (expert, block of intermediate rows) makes
// silu(gate) * up for the tokens that chose the expert; then every block of output rows goes
// through the experts in rising order and adds to its own columns of y. So each chosen expert's
// weights are read once, no two items write the same place, and a token's sum has one order
// whatever the batch is.

#include <algorithm>

#include "kernels/cpu/gated_rows.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/row_dots.h"

namespace hadal::cpu {
namespace {

// Token choices grouped by expert.
struct Assignments {
  TensorView<int32_t, 1> active;  // [num_active] experts that any token chose, rising
  TensorView<int32_t, 1> first;   // [num_active + 1] where each one's choices begin
  TensorView<int32_t, 1> tokens;  // [num_tokens * top_k] the token of each choice
  TensorView<float, 1> weights;   // [num_tokens * top_k] its weight
};

Assignments GroupByExpert(const MoeExpertsArgs& args, ScratchArena& scratch) {
  const int64_t num_experts = args.experts.extent(0);
  const int64_t num_choices = args.expert_ids.num_elements();
  const auto next = scratch.Allocate<int32_t>(num_experts + 1);
  Assignments groups = {.active = scratch.Allocate<int32_t>(std::min(num_experts, num_choices)),
                        .first = scratch.Allocate<int32_t>(std::min(num_experts, num_choices) + 1),
                        .tokens = scratch.Allocate<int32_t>(num_choices),
                        .weights = scratch.Allocate<float>(num_choices)};
  std::fill_n(next.data, num_experts + 1, 0);
  for (int64_t t = 0; t < args.x.extent(0); ++t) {
    for (const int32_t expert : args.expert_ids.Row(t)) {
      ++next(expert);
    }
  }
  int32_t begin = 0;
  int64_t num_active = 0;
  for (int64_t expert = 0; expert < num_experts; ++expert) {
    if (const int32_t count = next(expert); count > 0) {
      groups.active(num_active) = static_cast<int32_t>(expert);
      groups.first(num_active) = begin;
      ++num_active;
      next(expert) = begin;
      begin += count;
    }
  }
  groups.active.extents[0] = num_active;
  groups.first.extents[0] = num_active + 1;
  groups.first(num_active) = begin;
  for (int64_t t = 0; t < args.x.extent(0); ++t) {
    for (int64_t k = 0; k < args.expert_ids.extent(1); ++k) {
      const int32_t choice = next(args.expert_ids(t, k))++;
      groups.tokens(choice) = static_cast<int32_t>(t);
      groups.weights(choice) = args.weights(t, k);
    }
  }
  return groups;
}

}  // namespace

void MoeExperts(const VectorKernels& vector,
                const MoeExpertsArgs& args,
                ExecutionContext& context) {
  const ScratchScope scope(context.scratch);
  const Assignments groups = GroupByExpert(args, context.scratch);
  const int64_t num_active = groups.active.extent(0);
  const WeightMatrix& gate = args.experts(0).gate_proj;
  const WeightMatrix& down = args.experts(0).down_proj;
  const auto activations =
      context.scratch.Allocate<float>(args.expert_ids.num_elements(), gate.rows);
  const std::span<const int32_t> tokens(groups.tokens.data,
                                        static_cast<size_t>(groups.tokens.extent(0)));
  const InputRows choices = GatherInput(vector, args.x, tokens, gate, context);
  // The rows of one active expert in `input`, which has one for each choice.
  const auto rows_of = [&groups](const InputRows& input, int64_t active) {
    const int64_t first = groups.first(active);
    return Part(input, first, groups.first(active + 1) - first);
  };

  const int64_t num_rows = num_active * gate.rows;
  const int64_t rows_per_item = RowsPerItem(vector, gate, num_rows, context.pool.num_threads());
  const int64_t items_per_expert = (gate.rows + rows_per_item - 1) / rows_per_item;
  const auto gate_up = [&](int64_t begin, int64_t end, int32_t /*worker*/) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t active = item / items_per_expert;
      const int64_t row = item % items_per_expert * rows_per_item;
      const InputRows input = rows_of(choices, active);
      GatedRows(vector,
                input,
                args.experts(groups.active(active)),
                row,
                std::min(row + rows_per_item, gate.rows),
                activations.Slice(groups.first(active), input.count()));
    }
  };
  context.pool.ParallelFor(num_active * items_per_expert, 1, gate_up);

  const InputRows hidden = MakeInput(vector, activations, down, context);
  const auto add_down = [&](int64_t begin, int64_t end, int32_t /*worker*/) {
    for (int64_t active = 0; active < num_active; ++active) {
      const int64_t first = groups.first(active);
      RowDots(vector,
              rows_of(hidden, active),
              args.experts(groups.active(active)).down_proj,
              begin,
              end,
              [&](int64_t i, int64_t row, std::span<const float> sums) {
                const float weight = groups.weights(first + i);
                float* out = args.y.Row(groups.tokens(first + i)).data() + row;
                for (size_t j = 0; j < sums.size(); ++j) {
                  out[j] += weight * sums[j];
                }
              });
    }
  };
  context.pool.ParallelFor(
      down.rows, RowsPerItem(vector, down, down.rows, context.pool.num_threads()), add_down);
  if (args.shared_experts.has_value()) {
    Mlp(vector, {.x = args.x, .weights = *args.shared_experts, .y = args.y}, context);
  }
}

}  // namespace hadal::cpu
