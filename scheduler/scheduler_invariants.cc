#include <algorithm>
#include <vector>

#include "base/check.h"
#include "engine/api/forward_batch.h"
#include "scheduler/scheduler.h"

namespace hadal {
namespace {

void CheckSequence(const Sequence& sequence) {
  const bool has_begun = sequence.state != SequenceState::kWaiting || sequence.index == 0;
  CHECK_EQ(std::ssize(sequence.hashes), sequence.num_tokens() / kBlockSize);
  CHECK(!has_begun || sequence.num_tokens() >= sequence.request->num_prompt_tokens());
  CHECK_LE(sequence.num_tokens() - sequence.request->num_prompt_tokens(),
           sequence.request->request.max_new_tokens);
  CHECK_LE(sequence.num_findable_blocks * kBlockSize, sequence.num_computed_tokens);
  if (sequence.state != SequenceState::kRunning) {
    CHECK(sequence.blocks.empty());
    CHECK(sequence.num_computed_tokens == 0 || sequence.state == SequenceState::kEnded);
    return;
  }
  CHECK_GE(sequence.num_missing_tokens(), 1);
  // A block for every known token, but perhaps for the newest, which gets one when it is planned;
  // behind these none that drafts could not have asked for.
  const int64_t num_blocks = NumBlocksFor(sequence.num_tokens());
  CHECK(std::ssize(sequence.blocks) >= num_blocks ||
        (std::ssize(sequence.blocks) == num_blocks - 1 && sequence.num_missing_tokens() == 1));
  CHECK_LE(std::ssize(sequence.blocks),
           NumBlocksFor(std::min(
               sequence.num_tokens() + 2 * kMaxDraftTokens,
               sequence.request->num_prompt_tokens() + sequence.request->request.max_new_tokens)));
}

bool InOrder(const std::vector<Sequence*>& sequences, SequenceState state) {
  const auto goes_before = [](const Sequence* a, const Sequence* b) { return GoesBefore(*a, *b); };
  return std::is_sorted(sequences.begin(), sequences.end(), goes_before) &&
         std::all_of(sequences.begin(), sequences.end(), [state](const Sequence* sequence) {
           return sequence->state == state;
         });
}

}  // namespace

void Scheduler::CheckInvariants() const {
  CHECK(!plan_is_open_);
  pool_.CheckInvariants();
  cache_.CheckInvariants();
  waiting_.CheckInvariants();

  // 1. Every live request is waiting as a whole, or its sequences are running, preempted or ended.
  int64_t num_waiting = 0;
  int64_t num_running = 0;
  int64_t num_preempted = 0;
  int64_t num_slots = 0;
  int64_t num_deadlines = 0;
  std::vector<int32_t> owners(static_cast<size_t>(pool_.num_blocks()));
  for (const auto& [id, request] : live_) {
    CHECK(request->request.id == id);
    CHECK(!request->in_plan && !request->ending.has_value());
    num_deadlines += request->request.deadline != TimePoint::max() ? 1 : 0;
    bool is_live = false;
    bool goes_on = false;
    for (const Sequence& sequence : request->sequences) {
      CheckSequence(sequence);
      is_live |= sequence.state != SequenceState::kEnded;
      goes_on |= sequence.state != SequenceState::kEnded && !sequence.stopping;
      CHECK(!sequence.stopping || sequence.state == SequenceState::kEnded || !request->forked);
      const bool is_leader = &sequence == &request->sequences.front();
      CHECK(request->forked ? sequence.state != SequenceState::kWaiting
                            : is_leader || sequence.state == SequenceState::kWaiting);
      num_waiting += is_leader && sequence.state == SequenceState::kWaiting ? 1 : 0;
      num_preempted += sequence.state == SequenceState::kPreempted ? 1 : 0;
      if (sequence.state == SequenceState::kRunning) {
        ++num_running;
        num_slots += request->num_slots();
      }
      for (const BlockId block : sequence.blocks) {
        ++owners[static_cast<size_t>(block)];
      }
    }
    CHECK(is_live && goes_on);
  }
  CHECK_EQ(num_waiting, waiting_.size());
  CHECK_EQ(num_running, std::ssize(running_));
  CHECK_EQ(num_preempted, std::ssize(preempted_));
  CHECK_EQ(num_deadlines, std::ssize(deadlines_));
  CHECK_EQ(num_slots, num_slots_);
  CHECK_LE(num_slots, limits_.max_running_sequences);
  CHECK(InOrder(running_, SequenceState::kRunning));
  CHECK(InOrder(preempted_, SequenceState::kPreempted));

  // 2. A block has as many references as block tables hold it; nothing else holds any.
  for (int64_t i = 0; i < pool_.num_blocks(); ++i) {
    CHECK_EQ(pool_.ref_count(static_cast<BlockId>(i)), owners[static_cast<size_t>(i)]);
  }
  CHECK(!live_.empty() || pool_.num_used() == 0);
}

}  // namespace hadal
