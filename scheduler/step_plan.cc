#include "scheduler/step_plan.h"

#include <algorithm>

#include "base/check.h"
#include "base/checked_cast.h"

namespace hadal {
namespace {

// After the batch's last row, which is that many drafts behind the last token of `part`.
void AddSample(const Sequence& part,
               const Sequence& sampled,
               int64_t num_drafts,
               StepInput& input) {
  input.samples.push_back({.row = CheckedCast<int32_t>(input.batch.num_tokens() - 1),
                           .sequence = CheckedCast<int32_t>(input.batch.num_sequences()),
                           .params = &sampled.sampling,
                           .tokens = part.tokens,
                           .drafts = part.drafts.view().first(static_cast<size_t>(num_drafts)),
                           .num_prompt_tokens = part.request->num_prompt_tokens()});
}

void AddToken(const Sequence& sequence, int64_t position, TokenId token, ForwardBatch& batch) {
  const auto block =
      static_cast<int64_t>(sequence.blocks[static_cast<size_t>(position / kBlockSize)]);
  batch.token_ids.push_back(token);
  batch.positions.push_back(static_cast<int32_t>(position));
  batch.slots.push_back(block * kBlockSize + position % kBlockSize);
}

// What lies behind a sequence's own blocks is never read.
void AddBlockTable(const Sequence& sequence, ForwardBatch& batch) {
  for (const BlockId block : sequence.blocks) {
    batch.block_tables.push_back(static_cast<int32_t>(block));
  }
  batch.block_tables.resize(static_cast<size_t>((batch.num_sequences() + 1) * batch.max_blocks));
}

void AddSamplesAndDrafts(const StepPlan::Part& part, StepInput& input) {
  const Sequence& sequence = *part.sequence;
  LiveRequest& request = *sequence.request;
  AddSample(sequence, sequence, 0, input);
  if (!request.forked) {
    for (size_t i = 1; i < request.sequences.size(); ++i) {
      AddSample(sequence, request.sequences[i], 0, input);
    }
  }
  for (int64_t i = 0; i < part.num_drafts; ++i) {
    AddToken(sequence,
             sequence.num_tokens() + i,
             sequence.drafts.tokens[static_cast<size_t>(i)],
             input.batch);
    AddSample(sequence, sequence, i + 1, input);
  }
}

}  // namespace

StepInput ReserveStepInput(const Limits& limits) {
  const auto num_tokens = static_cast<size_t>(limits.max_step_tokens);
  const auto num_sequences = static_cast<size_t>(limits.max_running_sequences);
  const int64_t max_blocks = std::min(NumBlocksFor(limits.max_sequence_tokens), limits.num_blocks);
  StepInput input;
  input.batch.token_ids.reserve(num_tokens);
  input.batch.positions.reserve(num_tokens);
  input.batch.slots.reserve(num_tokens);
  input.batch.query_starts.reserve(num_sequences + 1);
  input.batch.block_tables.reserve(num_sequences * static_cast<size_t>(max_blocks));
  input.copies.reserve(num_sequences);
  input.samples.reserve(num_sequences * static_cast<size_t>(1 + limits.max_draft_tokens));
  input.drafts.reserve(num_sequences);
  return input;
}

void BuildStepInput(const StepPlan& plan, StepInput& input) {
  ForwardBatch& batch = input.batch;
  batch.max_blocks = 0;
  for (const StepPlan::Part& part : plan.parts) {
    batch.max_blocks = std::max<int64_t>(batch.max_blocks, std::ssize(part.sequence->blocks));
  }
  batch.token_ids.clear();
  batch.positions.clear();
  batch.slots.clear();
  batch.query_starts.assign(1, 0);
  batch.block_tables.clear();
  input.copies.assign(plan.copies.begin(), plan.copies.end());
  input.samples.clear();
  input.drafts.clear();
  for (const StepPlan::Part& part : plan.parts) {
    const Sequence& sequence = *part.sequence;
    const int64_t begin = sequence.num_computed_tokens;
    const int64_t end = begin + part.num_tokens;
    for (int64_t position = begin; position < end; ++position) {
      AddToken(sequence, position, sequence.tokens[static_cast<size_t>(position)], batch);
    }
    if (part.is_sampled()) {
      AddSamplesAndDrafts(part, input);
    }
    AddBlockTable(sequence, batch);
    batch.query_starts.push_back(CheckedCast<int32_t>(batch.num_tokens()));
    if (plan.is_drafted) {
      const TokenId next_token =
          part.is_sampled() ? kNoToken : sequence.tokens[static_cast<size_t>(end)];
      input.drafts.push_back(
          {.next_token = next_token, .num_drafts = static_cast<int32_t>(part.num_new_drafts)});
    }
  }
  CHECK_EQ(batch.num_tokens(), plan.num_tokens);
}

}  // namespace hadal
