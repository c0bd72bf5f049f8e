#include <algorithm>

#include "base/check.h"
#include "engine/api/forward_batch.h"
#include "scheduler/scheduler.h"

namespace hadal {
namespace {

// Samples that a part yields, as BuildStepInput asks for them.
int64_t NumSamples(const StepPlan::Part& part) {
  return part.is_sampled() ? part.sequence->request->num_slots() + part.num_drafts : 0;
}

}  // namespace

void Scheduler::Apply(const absl::Status& status, const StepOutput& output, TimePoint now) {
  CHECK(plan_is_open_);
  plan_is_open_ = false;
  ++counts_.total_steps;
  const int64_t before = counts_.total_generated_tokens;
  // 1. What each part computed. A request that is ending gets no more tokens.
  int64_t first_sample = 0;
  for (size_t i = 0; i < plan_.parts.size(); ++i) {
    const StepPlan::Part& part = plan_.parts[i];
    LiveRequest& request = *part.sequence->request;
    request.in_plan = false;
    const int64_t num_samples = NumSamples(part);
    if (!status.ok() || output.health[i] == RowHealth::kNotFinite) {
      request.ending = request.ending.value_or(FinishReason::kFailed);
    } else {
      ApplyPart(part,
                std::span(output.samples)
                    .subspan(static_cast<size_t>(first_sample), static_cast<size_t>(num_samples)));
      part.sequence->drafts = plan_.is_drafted ? output.drafts[i] : DraftTokens();
    }
    first_sample += num_samples;
  }
  // 2. The end of what failed, was cancelled or was stopped meanwhile.
  for (const StepPlan::Part& part : plan_.parts) {
    LiveRequest& request = *part.sequence->request;
    if (request.ending.has_value()) {
      EndRequest(request, *request.ending);
    } else {
      EndStopped(request);
    }
  }
  if (status.ok()) {
    ObserveDrafts(now - planned_at_, output.draft_time, counts_.total_generated_tokens - before);
  }
  if (status.ok()) {
    pace_.Observe({.num_tokens = plan_.num_tokens,
                   .num_chunk_tokens = num_chunk_tokens_,
                   .time = now - planned_at_});
  }
}

// The module ran once over chunks and tokens that became certain, then over each sequence's drafts
// but the last.
void Scheduler::ObserveDrafts(Duration step_time, Duration draft_time, int64_t num_certain) {
  DraftPolicy::Step step = {.num_tokens = plan_.num_tokens - num_chunk_tokens_,
                            .num_chunk_tokens = num_chunk_tokens_,
                            .time = step_time - draft_time,
                            .draft_time = draft_time};
  if (plan_.is_drafted) {
    step.num_rounds = 1;
    step.num_module_rows = num_certain + num_chunk_tokens_;
    for (const StepPlan::Part& part : plan_.parts) {
      step.num_rounds = std::max(step.num_rounds, part.num_new_drafts);
      step.num_module_rows += std::max(part.num_new_drafts - 1, int64_t{0});
    }
  }
  draft_policy_.Observe(step);
}

void Scheduler::ApplyPart(const StepPlan::Part& part, std::span<const SampledToken> samples) {
  Sequence& sequence = *part.sequence;
  LiveRequest& request = *sequence.request;
  sequence.num_computed_tokens += part.num_tokens;
  KeepFullBlocks(sequence);
  if (samples.empty() || request.ending.has_value()) {
    return;
  }
  if (request.forked) {
    TakeTokens(part, samples);
    return;
  }
  Fork(request);
  for (size_t i = 0; i < samples.size(); ++i) {
    TakeToken(request.sequences[i], samples[i], TokenOrigin::kSampled);
  }
}

// What was sampled behind the known tokens and behind the drafts that came true, whose rows are
// computed already.
void Scheduler::TakeTokens(const StepPlan::Part& part, std::span<const SampledToken> samples) {
  Sequence& sequence = *part.sequence;
  const auto drafts = sequence.drafts.view().first(static_cast<size_t>(part.num_drafts));
  const auto num_accepted = static_cast<size_t>(NumAccepted(drafts, samples));
  for (size_t i = 0; i < drafts.size(); ++i) {
    ++counts_.total_drafted[i];
    counts_.total_accepted[i] += i < num_accepted ? 1 : 0;
  }
  sequence.draft_history.Observe(part.num_drafts, static_cast<int64_t>(num_accepted));
  draft_history_.Observe(part.num_drafts, static_cast<int64_t>(num_accepted));
  TakeToken(sequence, samples.front(), TokenOrigin::kSampled);
  const auto goes_on = [&sequence] {
    return sequence.state == SequenceState::kRunning && !sequence.stopping;
  };
  for (size_t i = 1; i <= num_accepted && goes_on(); ++i) {
    ++sequence.num_computed_tokens;
    KeepFullBlocks(sequence);
    TakeToken(sequence, samples[i], TokenOrigin::kDraft);
  }
}

// Puts newly computed full blocks into the prefix cache. Where another sequence computed the same
// tokens first, its block takes the place of this one's, so that equal prompts share memory.
void Scheduler::KeepFullBlocks(Sequence& sequence) {
  const int64_t num_full = sequence.num_computed_tokens / kBlockSize;
  for (int64_t i = sequence.num_findable_blocks; i < num_full; ++i) {
    const auto at = static_cast<size_t>(i);
    const std::optional<BlockId> kept =
        cache_.Insert({.parent = i == 0 ? std::nullopt : std::optional(sequence.blocks[at - 1]),
                       .salt = SaltOf(sequence.request->request),
                       .hash = sequence.hashes[at],
                       .tokens = std::span(sequence.tokens)
                                     .subspan(at * static_cast<size_t>(kBlockSize),
                                              static_cast<size_t>(kBlockSize)),
                       .block = sequence.blocks[at]});
    if (!kept.has_value()) {
      return;
    }
    if (*kept != sequence.blocks[at]) {
      pool_.AddRef(*kept);
      pool_.Release(sequence.blocks[at]);
      sequence.blocks[at] = *kept;
    }
    sequence.num_findable_blocks = i + 1;
  }
}

// The prompt is computed: the other sequences begin, on the same blocks.
void Scheduler::Fork(LiveRequest& request) {
  request.forked = true;
  const Sequence& leader = request.leader();
  for (size_t i = 1; i < request.sequences.size(); ++i) {
    Sequence& sequence = request.sequences[i];
    sequence.tokens.assign(leader.tokens.begin(), leader.tokens.end());
    sequence.hashes.assign(leader.hashes.begin(), leader.hashes.end());
    sequence.blocks.assign(leader.blocks.begin(), leader.blocks.end());
    sequence.num_computed_tokens = leader.num_computed_tokens;
    sequence.num_findable_blocks = leader.num_findable_blocks;
    sequence.draft_history = leader.draft_history;
    for (const BlockId block : sequence.blocks) {
      pool_.AddRef(block);
    }
    StartRunning(sequence);
  }
}

// A sequence that is stopping gets no more tokens: Apply ends it.
void Scheduler::TakeToken(Sequence& sequence, const SampledToken& sampled, TokenOrigin origin) {
  if (sequence.stopping) {
    return;
  }
  LiveRequest& request = *sequence.request;
  const std::vector<TokenId>& stops = request.request.stop_token_ids;
  sequence.Append(sampled.token);
  ++counts_.total_generated_tokens;
  events_.push_back({.kind = Event::Kind::kToken,
                     .request = &request,
                     .sequence = sequence.index,
                     .token = &sampled,
                     .origin = origin});
  if (std::find(stops.begin(), stops.end(), sampled.token) != stops.end()) {
    EndSequence(sequence, FinishReason::kStop);
  } else if (sequence.num_tokens() - request.num_prompt_tokens() ==
             request.request.max_new_tokens) {
    EndSequence(sequence, FinishReason::kLength);
  }
}

}  // namespace hadal
