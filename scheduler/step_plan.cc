#include "scheduler/step_plan.h"

#include <algorithm>

#include "base/check.h"
#include "base/checked_cast.h"

namespace hadal {
namespace {

void AddSample(const Sequence& part, const Sequence& sampled, StepInput& input) {
  input.samples.push_back({.row = CheckedCast<int32_t>(input.batch.num_tokens() - 1),
                           .sequence = CheckedCast<int32_t>(input.batch.num_sequences() - 1),
                           .params = &sampled.sampling,
                           .tokens = part.tokens,
                           .num_prompt_tokens = part.request->num_prompt_tokens()});
}

}  // namespace

void BuildStepInput(const StepPlan& plan, StepInput& input) {
  ForwardBatch& batch = input.batch;
  const auto num_parts = plan.parts.size();
  const auto num_tokens = static_cast<size_t>(plan.num_tokens);
  int64_t max_blocks = 0;
  for (const StepPlan::Part& part : plan.parts) {
    max_blocks = std::max<int64_t>(max_blocks, std::ssize(part.sequence->blocks));
  }
  batch.max_blocks = max_blocks;
  batch.token_ids.clear();
  batch.positions.resize(num_tokens);
  batch.slots.resize(num_tokens);
  batch.query_starts.assign(1, 0);
  batch.block_tables.resize(num_parts * static_cast<size_t>(max_blocks));
  input.copies.assign(plan.copies.begin(), plan.copies.end());
  input.samples.clear();
  int32_t* table = batch.block_tables.data();
  for (const StepPlan::Part& part : plan.parts) {
    const Sequence& sequence = *part.sequence;
    const int64_t begin = sequence.num_computed_tokens;
    const int64_t end = begin + part.num_tokens;
    for (int64_t position = begin; position < end; ++position) {
      const auto block =
          static_cast<int64_t>(sequence.blocks[static_cast<size_t>(position / kBlockSize)]);
      const size_t row = batch.token_ids.size();
      batch.positions[row] = static_cast<int32_t>(position);
      batch.slots[row] = block * kBlockSize + position % kBlockSize;
      batch.token_ids.push_back(sequence.tokens[static_cast<size_t>(position)]);
    }
    batch.query_starts.push_back(CheckedCast<int32_t>(batch.num_tokens()));
    // What lies behind a sequence's own blocks is never read.
    int32_t* rest =
        std::transform(sequence.blocks.begin(), sequence.blocks.end(), table, [](BlockId block) {
          return static_cast<int32_t>(block);
        });
    table += max_blocks;
    std::fill(rest, table, 0);
    if (end < sequence.num_tokens()) {
      continue;
    }
    LiveRequest& request = *sequence.request;
    AddSample(sequence, sequence, input);
    if (!request.forked) {
      for (size_t i = 1; i < request.sequences.size(); ++i) {
        AddSample(sequence, request.sequences[i], input);
      }
    }
  }
  CHECK_EQ(batch.num_tokens(), plan.num_tokens);
}

}  // namespace hadal
