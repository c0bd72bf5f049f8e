#include "scheduler/scheduler.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "engine/api/forward_batch.h"

namespace hadal {
namespace {

// What a request is thought to take at most: differences of time points stay in range.
constexpr std::chrono::duration<double> kLongestDuration = std::chrono::hours(24 * 365);

bool PointerGoesBefore(const Sequence* a, const Sequence* b) {
  return GoesBefore(*a, *b);
}

void InsertInOrder(Sequence& sequence, std::vector<Sequence*>& sequences) {
  sequences.insert(
      std::upper_bound(sequences.begin(), sequences.end(), &sequence, PointerGoesBefore),
      &sequence);
}

void Remove(const Sequence& sequence, std::vector<Sequence*>& sequences) {
  const auto found = std::find(sequences.rbegin(), sequences.rend(), &sequence);
  CHECK(found != sequences.rend());
  sequences.erase(std::next(found).base());
}

}  // namespace

Scheduler::Scheduler(const Limits& limits)
    : limits_(limits), pool_(limits.num_blocks), cache_(pool_), pace_(limits), waiting_(limits) {
  CHECK(ValidateLimits(limits).ok());
  const auto num_running = static_cast<size_t>(limits.max_running_sequences);
  live_.reserve(static_cast<size_t>(limits.max_requests));
  running_.reserve(num_running);
  preempted_.reserve(2 * num_running);
  plan_.parts.reserve(num_running);
  candidates_.reserve(num_running);
  plan_.copies.reserve(num_running);
  events_.reserve(static_cast<size_t>(4 + limits.max_draft_tokens) * num_running);
  ended_.reserve(static_cast<size_t>(limits.max_requests));
  found_.reserve(static_cast<size_t>(NumBlocksFor(limits.max_sequence_tokens)));
}

absl::Status Scheduler::Add(std::unique_ptr<LiveRequest> request, TimePoint now) {
  if (std::ssize(live_) >= limits_.max_requests) {
    return ResourceExhausted("max_requests: %d requests are waiting or running",
                             limits_.max_requests);
  }
  if (waiting_.num_tokens() > 0 &&
      waiting_.num_tokens() + request->num_prompt_tokens() > limits_.max_waiting_tokens) {
    return ResourceExhausted("max_waiting_tokens: prompts of %d tokens are waiting",
                             waiting_.num_tokens());
  }
  const RequestId id = request->request.id;
  const auto [place, is_new] = live_.try_emplace(id, nullptr);
  if (!is_new) {
    return AlreadyExists("a request with id %d is live", static_cast<int64_t>(id));
  }
  place->second = std::move(request);
  LiveRequest& live = *place->second;
  live.arrival = now;
  live.arrival_number = num_arrived_++;
  const bool has_deadline = live.request.deadline != TimePoint::max();
  if (has_deadline) {
    deadlines_.emplace(live.request.deadline, &live);
  }
  const TimePoint end =
      has_deadline ? std::max(live.request.deadline, now) : now + limits_.default_patience;
  const auto duration = std::chrono::duration<double>(pace_.time_per_token()) *
                        static_cast<double>(live.max_cost_tokens());
  live.latest_start =
      end - std::chrono::duration_cast<Duration>(std::min(duration, kLongestDuration));
  waiting_.Push(live);
  return absl::OkStatus();
}

void Scheduler::Cancel(RequestId id) {
  const auto found = live_.find(id);
  if (found == live_.end() || found->second->ending.has_value()) {
    return;
  }
  if (found->second->in_plan) {
    found->second->ending = FinishReason::kCancelled;
  } else {
    EndRequest(*found->second, FinishReason::kCancelled);
  }
}

void Scheduler::StopSequence(RequestId id, int32_t sequence) {
  const auto found = live_.find(id);
  if (found == live_.end() || found->second->ending.has_value() || sequence < 0 ||
      sequence >= found->second->request.num_sequences) {
    return;
  }
  LiveRequest& request = *found->second;
  request.sequences[static_cast<size_t>(sequence)].stopping = true;
  if (!request.in_plan) {
    EndStopped(request);
  }
}

const StepPlan& Scheduler::Plan(TimePoint now) {
  CHECK(!plan_is_open_);
  plan_.parts.clear();
  plan_.copies.clear();
  plan_.num_tokens = 0;
  plan_.num_drafts = 0;
  num_chunk_tokens_ = 0;
  planned_at_ = now;
  ExpireDeadlines(now);
  Budget budget = BudgetOfStep();
  ContinueRunning(budget);
  if (plan_.empty()) {  // those that chunks were kept small for have lost their blocks
    budget = BudgetOfStep();
    ContinueRunning(budget);
  }
  AddDrafts(budget);
  AdmitWaiting(now, budget);
  OrderDrafts();
  plan_is_open_ = !plan_.empty();
  return plan_;
}

void Scheduler::ExpireDeadlines(TimePoint now) {
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    EndRequest(*deadlines_.begin()->second, FinishReason::kDeadlineExceeded);
  }
}

// Every sequence that misses one token gets it; chunks share what is left, and beside such
// sequences no more than the pace allows.
Scheduler::Budget Scheduler::BudgetOfStep() const {
  const auto misses_one = [](const Sequence* s) { return s->num_missing_tokens() == 1; };
  const int64_t num_single = std::count_if(running_.begin(), running_.end(), misses_one);
  const int64_t left = limits_.max_step_tokens - num_single;
  return {.num_tokens = limits_.max_step_tokens,
          .num_chunk_tokens = num_single > 0 ? std::min(left, pace_.max_chunk_tokens()) : left,
          .num_reserved = num_single};
}

// Those that lose their blocks go last, so they are not in the plan yet.
void Scheduler::ContinueRunning(Budget& budget) {
  for (size_t i = 0; i < running_.size(); ++i) {
    Sequence& sequence = *running_[i];
    budget.num_reserved -= sequence.num_missing_tokens() == 1 ? 1 : 0;
    if (MakeWritable(sequence)) {
      AddPart(sequence, budget);
    }
  }
  budget.num_reserved = 0;  // for some that have lost their blocks
}

// A request that does not fit yet is waited for, not passed over: large ones come to their turn.
void Scheduler::AdmitWaiting(TimePoint now, Budget& budget) {
  AgePreempted(now);
  while (budget.num_tokens > 0 && budget.num_chunk_tokens > 0) {
    Sequence* next = preempted_.empty() ? nullptr : preempted_.front();
    LiveRequest* waiting = waiting_.Next(now);
    const bool has_room = std::ssize(preempted_) < limits_.max_running_sequences;
    if (has_room && waiting != nullptr &&
        (next == nullptr || GoesBefore(waiting->leader(), *next))) {
      next = &waiting->leader();
    }
    if (next == nullptr || !Admit(*next, budget)) {
      return;
    }
  }
}

// What was preempted may go first by now, and with it all of its request that runs.
void Scheduler::AgePreempted(TimePoint now) {
  bool is_changed = false;
  for (Sequence* sequence : preempted_) {
    LiveRequest& request = *sequence->request;
    if (!request.aged && now - request.arrival >= limits_.starvation_age) {
      request.aged = true;
      is_changed = true;
    }
  }
  if (is_changed) {
    std::sort(preempted_.begin(), preempted_.end(), PointerGoesBefore);
    std::sort(running_.begin(), running_.end(), PointerGoesBefore);
  }
}

// False, and nothing changed, when there is no room. When nothing runs all blocks can be had, so
// what ValidateRequest let through is admitted in the end.
bool Scheduler::Admit(Sequence& sequence, Budget& budget) {
  LiveRequest& request = *sequence.request;
  if (num_slots_ + request.num_slots() > limits_.max_running_sequences) {
    return false;
  }
  // 1. What is cached. The last token is always computed: its logits are needed.
  found_.clear();
  const int64_t num_findable = (sequence.num_tokens() - 1) / kBlockSize;
  const PrefixCache::Match match =
      cache_.Find(SaltOf(request.request),
                  sequence.tokens,
                  std::span(sequence.hashes).first(static_cast<size_t>(num_findable)),
                  found_);
  // 2. Room for all tokens that are known, beside the watermark.
  const int64_t num_allocated = NumBlocksFor(sequence.num_tokens()) - match.num_blocks;
  const int64_t num_revived = std::count_if(
      found_.begin(), found_.end(), [this](BlockId id) { return pool_.ref_count(id) == 0; });
  const auto watermark =
      static_cast<int64_t>(std::ceil(limits_.watermark * static_cast<double>(limits_.num_blocks)));
  const int64_t num_spare = running_.empty() ? 0 : watermark;
  if (pool_.num_available() - num_revived < num_allocated + num_spare) {
    return false;
  }
  // 3. The blocks.
  for (const BlockId block : found_) {
    pool_.AddRef(block);
    sequence.blocks.push_back(block);
  }
  for (int64_t i = 0; i < num_allocated; ++i) {
    const std::optional<BlockId> block = cache_.Allocate();
    CHECK(block.has_value());
    sequence.blocks.push_back(*block);
  }
  sequence.num_computed_tokens = match.num_blocks * kBlockSize;
  sequence.num_findable_blocks = match.num_blocks;
  if (sequence.state == SequenceState::kPreempted) {
    Remove(sequence, preempted_);
  } else {
    waiting_.Pop(request);
    sequence.draft_history = draft_history_;
    request.cache = {.cached_tokens = match.num_blocks * kBlockSize,
                     .miss = match.miss,
                     .position = match.position};
    counts_.total_prompt_tokens += request.num_prompt_tokens();
    counts_.total_cached_tokens += request.cache.cached_tokens;
    events_.push_back({.kind = Event::Kind::kAdmitted, .request = &request});
  }
  num_slots_ += request.num_slots();
  StartRunning(sequence);
  AddPart(sequence, budget);
  return true;
}

void Scheduler::AddPart(Sequence& sequence, Budget& budget) {
  const int64_t missing = sequence.num_missing_tokens();
  const int64_t num_tokens =
      missing == 1 ? 1 : std::min({missing, budget.num_spare(), budget.num_chunk_tokens});
  if (num_tokens <= 0) {
    return;
  }
  if (missing > 1) {
    budget.num_chunk_tokens -= num_tokens;
    num_chunk_tokens_ += num_tokens;
  }
  budget.num_tokens -= num_tokens;
  plan_.parts.push_back({.sequence = &sequence, .num_tokens = num_tokens});
  plan_.num_tokens += num_tokens;
  sequence.request->in_plan = true;
}

// Those that were guessed for running sequences, as far as tokens and blocks are left when all of
// these have theirs.
void Scheduler::AddDrafts(Budget& budget) {
  for (StepPlan::Part& part : plan_.parts) {
    if (!part.is_sampled()) {
      continue;
    }
    const LiveRequest& request = *part.sequence->request;
    const int64_t num_left = request.num_left_tokens(*part.sequence);
    part.num_drafts =
        std::min({int64_t{part.sequence->drafts.size}, num_left - 1, budget.num_tokens});
    while (!FindDraftBlocks(part)) {
      --part.num_drafts;
    }
    budget.num_tokens -= part.num_drafts;
    budget.num_chunk_tokens = std::min(budget.num_chunk_tokens, budget.num_tokens);
    plan_.num_tokens += part.num_drafts;
    plan_.num_drafts += part.num_drafts;
  }
}

// Asks for new ones: at most as many as the next step can take if all that this one verifies come
// true.
void Scheduler::OrderDrafts() {
  plan_.is_drafted = limits_.max_draft_tokens > 0;
  if (!plan_.is_drafted) {
    return;
  }
  candidates_.clear();
  for (const StepPlan::Part& part : plan_.parts) {
    if (const int64_t most = MostNewDrafts(part); most > 0) {
      candidates_.push_back({.history = &part.sequence->draft_history,
                             .max_drafts = most,
                             .target_tpot = part.sequence->request->request.target_tpot,
                             .num_drafts = most});
    }
  }
  if (limits_.draft_length == DraftLength::kAdapted) {
    draft_policy_.Choose(candidates_);
    plan_.is_drafted = draft_policy_.is_on();
  }
  auto candidate = candidates_.begin();
  for (StepPlan::Part& part : plan_.parts) {
    if (MostNewDrafts(part) > 0) {
      part.num_new_drafts = candidate++->num_drafts;
      while (!FindDraftBlocks(part)) {
        --part.num_new_drafts;
      }
    }
  }
}

int64_t Scheduler::MostNewDrafts(const StepPlan::Part& part) const {
  const LiveRequest& request = *part.sequence->request;
  const bool parts_ways = !request.forked && request.request.num_sequences > 1;
  if (!part.is_sampled() || parts_ways) {
    return 0;
  }
  return std::min(limits_.max_draft_tokens,
                  request.num_left_tokens(*part.sequence) - 2 - part.num_drafts);
}

// Whether there are blocks for the part's drafts, old and new; of the new ones the last has no row.
bool Scheduler::FindDraftBlocks(const StepPlan::Part& part) {
  Sequence& sequence = *part.sequence;
  const int64_t num_rows =
      sequence.num_tokens() + part.num_drafts + std::max(part.num_new_drafts - 1, int64_t{0});
  while (NumBlocksFor(num_rows) > std::ssize(sequence.blocks)) {
    const std::optional<BlockId> block = cache_.Allocate();
    if (!block.has_value()) {
      return false;
    }
    sequence.blocks.push_back(*block);
  }
  return true;
}

// Gives a running sequence the block that its next token is written to, taken from those that go
// after it if need be. False when it goes last itself: then it is preempted.
bool Scheduler::MakeWritable(Sequence& sequence) {
  const bool needs_block = NumBlocksFor(sequence.num_tokens()) > std::ssize(sequence.blocks);
  const auto written = static_cast<size_t>(sequence.num_computed_tokens / kBlockSize);
  for (;;) {
    if (!needs_block && pool_.ref_count(sequence.blocks[written]) == 1) {
      return true;
    }
    if (const std::optional<BlockId> block = cache_.Allocate()) {
      if (needs_block) {
        sequence.blocks.push_back(*block);
      } else {
        plan_.copies.push_back({.source = static_cast<int32_t>(sequence.blocks[written]),
                                .destination = static_cast<int32_t>(*block)});
        pool_.Release(sequence.blocks[written]);
        sequence.blocks[written] = *block;
      }
      return true;
    }
    // Frees blocks, or ends the sharing.
    Sequence& last = *running_.back();
    Preempt(last);
    if (&last == &sequence) {
      return false;
    }
  }
}

void Scheduler::Preempt(Sequence& sequence) {
  CHECK(&sequence != running_.front());
  StopRunning(sequence);
  ReleaseBlocks(sequence);
  sequence.state = SequenceState::kPreempted;
  sequence.num_computed_tokens = 0;
  sequence.num_findable_blocks = 0;
  sequence.drafts.size = 0;
  InsertInOrder(sequence, preempted_);
  ++counts_.total_preemptions;
}

void Scheduler::StartRunning(Sequence& sequence) {
  sequence.state = SequenceState::kRunning;
  InsertInOrder(sequence, running_);
}

void Scheduler::StopRunning(Sequence& sequence) {
  Remove(sequence, running_);
  num_slots_ -= sequence.request->num_slots();
}

// The last block first: of those that stay cached, it gives way first.
void Scheduler::ReleaseBlocks(Sequence& sequence) {
  while (!sequence.blocks.empty()) {
    pool_.Release(sequence.blocks.back());
    sequence.blocks.pop_back();
  }
}

void Scheduler::EndSequence(Sequence& sequence, FinishReason reason) {
  LiveRequest& request = *sequence.request;
  switch (sequence.state) {
    case SequenceState::kWaiting:
      if (&sequence == &request.leader()) {
        waiting_.Remove(request);
      }
      break;
    case SequenceState::kRunning:
      StopRunning(sequence);
      ReleaseBlocks(sequence);
      break;
    case SequenceState::kPreempted:
      Remove(sequence, preempted_);
      break;
    case SequenceState::kEnded:
      CHECK(false);
  }
  sequence.state = SequenceState::kEnded;
  events_.push_back({.kind = Event::Kind::kSequenceEnded,
                     .request = &request,
                     .sequence = sequence.index,
                     .reason = reason});
  const auto has_ended = [](const Sequence& s) { return s.state == SequenceState::kEnded; };
  if (!std::all_of(request.sequences.begin(), request.sequences.end(), has_ended)) {
    return;
  }
  events_.push_back({.kind = Event::Kind::kRequestEnded, .request = &request, .reason = reason});
  ++counts_.total_ended[static_cast<size_t>(reason)];
  deadlines_.erase({request.request.deadline, &request});
  const auto found = live_.find(request.request.id);
  ended_.push_back(std::move(found->second));
  live_.erase(found);
}

void Scheduler::EndRequest(LiveRequest& request, FinishReason reason) {
  for (Sequence& sequence : request.sequences) {
    if (sequence.state != SequenceState::kEnded) {
      EndSequence(sequence, reason);
    }
  }
}

// Before the fork the leader computes the prompt for all others: until then only stopping all of
// them ends anything.
void Scheduler::EndStopped(LiveRequest& request) {
  const auto goes_on = [](const Sequence& s) {
    return s.state != SequenceState::kEnded && !s.stopping;
  };
  if (std::none_of(request.sequences.begin(), request.sequences.end(), goes_on)) {
    EndRequest(request, FinishReason::kStop);
    return;
  }
  for (Sequence& sequence : request.sequences) {
    if (request.forked && sequence.stopping && sequence.state != SequenceState::kEnded) {
      EndSequence(sequence, FinishReason::kStop);
    }
  }
}

void Scheduler::ClearEvents() {
  events_.clear();
  ended_.clear();
}

SchedulerCounts Scheduler::counts() const {
  SchedulerCounts counts = counts_;
  counts.num_running = std::ssize(running_);
  counts.num_preempted = std::ssize(preempted_);
  counts.num_waiting = waiting_.size();
  counts.num_free_blocks = pool_.num_free();
  counts.num_cached_blocks = pool_.num_cached();
  counts.num_used_blocks = pool_.num_used();
  return counts;
}

}  // namespace hadal
