#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include <absl/container/flat_hash_map.h>

#include "base/status.h"
#include "engine/api/executor.h"
#include "scheduler/block_pool.h"
#include "scheduler/draft_policy.h"
#include "scheduler/limits.h"
#include "scheduler/pace.h"
#include "scheduler/prefix_cache.h"
#include "scheduler/sequence.h"
#include "scheduler/step_plan.h"
#include "scheduler/waiting_queue.h"

namespace hadal {

/// Something that the world should know of a request.
struct Event {
  enum class Kind : int8_t {
    kAdmitted,       // its first step is planned; `request->cache` is known
    kToken,          // `token` was generated
    kSequenceEnded,  // for `reason`; once for each sequence
    kRequestEnded,   // all its sequences ended, the last for `reason`; once, and the last event
  };

  Kind kind;
  LiveRequest* request;
  int32_t sequence = 0;
  const SampledToken* token = nullptr;  // borrowed from the StepOutput
  TokenOrigin origin = TokenOrigin::kSampled;
  FinishReason reason = FinishReason::kStop;
};

/// Numbers of now and since the start.
struct SchedulerCounts {
  int64_t num_running = 0;    // sequences
  int64_t num_preempted = 0;  // sequences that wait for blocks again
  int64_t num_waiting = 0;    // requests
  int64_t num_free_blocks = 0;
  int64_t num_cached_blocks = 0;
  int64_t num_used_blocks = 0;
  int64_t total_steps = 0;
  int64_t total_prompt_tokens = 0;  // of admitted requests
  int64_t total_cached_tokens = 0;  // of these, found in the prefix cache
  int64_t total_generated_tokens = 0;
  int64_t total_preemptions = 0;
  std::array<int64_t, kMaxDraftTokens> total_drafted =
      {};  // tokens, by place behind the known ones
  std::array<int64_t, kMaxDraftTokens> total_accepted = {};  // of these
  std::array<int64_t, 5> total_ended = {};                   // requests, by FinishReason
};

/// Decides what each step does. Pure state: no clock, no thread, no effect but on itself.
///
///   const StepPlan& plan = scheduler.Plan(now);
///   BuildStepInput(plan, input);            // run it
///   scheduler.Apply(status, output, now);
///   for (const Event& event : scheduler.events()) ...
///   scheduler.ClearEvents();
///
/// A step's token budget goes to running sequences first, those that miss one token before chunks
/// of those that miss more; then waiting requests are admitted. A sequence gets all blocks of its
/// known tokens when it is admitted and one more whenever it needs it; when there is none, the
/// running sequence that goes last loses its own and is computed again later. The sequence that
/// goes first never does, so something always moves. Drafts ride on what tokens and blocks are
/// left. Owned by the scheduler's thread.
class Scheduler {
 public:
  /// REQUIRES: `limits` are valid.
  explicit Scheduler(const Limits& limits);

  /// Takes a request in. ResourceExhausted when max_requests or max_waiting_tokens are reached;
  /// AlreadyExists for the id of a live request. REQUIRES: ValidateRequest says OK.
  absl::Status Add(std::unique_ptr<LiveRequest> request, TimePoint now);

  /// Ends a request: at once, or when the step that it takes part in ends. Unknown ids are ignored.
  void Cancel(RequestId id);

  /// Ends one sequence of a request with kStop, as Cancel ends all: at once, when the step ends
  /// that its request takes part in, or, before the fork, with it. It gets no more tokens; the
  /// others go on. Ids and sequences that are unknown or ended are ignored.
  void StopSequence(RequestId id, int32_t sequence);

  /// What to do next; empty when nothing can be done. The plan is valid until Apply. REQUIRES: the
  /// last plan was empty or has been applied.
  const StepPlan& Plan(TimePoint now);

  /// Takes in what came of the last plan. With an error all its requests fail. REQUIRES: Plan
  /// returned a plan that is not empty.
  void Apply(const absl::Status& status, const StepOutput& output, TimePoint now);

  /// What happened since ClearEvents, in order. Requests that ended live until then.
  [[nodiscard]] std::span<const Event> events() const { return events_; }
  void ClearEvents();

  [[nodiscard]] bool idle() const { return live_.empty(); }
  [[nodiscard]] SchedulerCounts counts() const;
  [[nodiscard]] const Limits& limits() const { return limits_; }

  /// CHECKs docs/invariants.md. Linear in blocks and requests. REQUIRES: no plan is open.
  void CheckInvariants() const;

 private:
  // What a step may still spend.
  struct Budget {
    int64_t num_tokens;
    int64_t num_chunk_tokens;  // of these, on sequences that miss more than one token
    int64_t num_reserved;      // of these, for sequences that miss one and are not planned yet

    [[nodiscard]] int64_t num_spare() const { return num_tokens - num_reserved; }
  };

  // Plan.
  void ExpireDeadlines(TimePoint now);
  [[nodiscard]] Budget BudgetOfStep() const;
  void ContinueRunning(Budget& budget);
  void AdmitWaiting(TimePoint now, Budget& budget);
  bool Admit(Sequence& sequence, Budget& budget);
  void AddPart(Sequence& sequence, Budget& budget);
  void AddDrafts(Budget& budget);
  void OrderDrafts();
  [[nodiscard]] int64_t MostNewDrafts(const StepPlan::Part& part) const;
  bool FindDraftBlocks(const StepPlan::Part& part);
  bool MakeWritable(Sequence& sequence);
  void Preempt(Sequence& sequence);
  void AgePreempted(TimePoint now);

  // Apply.
  void ObserveDrafts(Duration step_time, Duration draft_time, int64_t num_certain);
  void ApplyPart(const StepPlan::Part& part, std::span<const SampledToken> samples);
  void TakeTokens(const StepPlan::Part& part, std::span<const SampledToken> samples);
  void KeepFullBlocks(Sequence& sequence);
  void Fork(LiveRequest& request);
  void TakeToken(Sequence& sequence, const SampledToken& token, TokenOrigin origin);

  void StartRunning(Sequence& sequence);
  void StopRunning(Sequence& sequence);
  void ReleaseBlocks(Sequence& sequence);
  void EndSequence(Sequence& sequence, FinishReason reason);
  void EndRequest(LiveRequest& request, FinishReason reason);
  void EndStopped(LiveRequest& request);

  const Limits limits_;
  BlockPool pool_;
  PrefixCache cache_;
  Pace pace_;
  DraftPolicy draft_policy_;
  DraftHistory draft_history_;  // of all sequences: what a new one begins with
  WaitingQueue waiting_;
  absl::flat_hash_map<RequestId, std::unique_ptr<LiveRequest>> live_;
  std::vector<std::unique_ptr<LiveRequest>> ended_;         // since ClearEvents
  std::set<std::pair<TimePoint, LiveRequest*>> deadlines_;  // of live requests that have one
  std::vector<Sequence*> running_;                          // in the order of GoesBefore
  std::vector<Sequence*> preempted_;                        // likewise
  int64_t num_slots_ = 0;  // of max_running_sequences: running ones and those they will fork into
  int64_t num_arrived_ = 0;

  StepPlan plan_;
  bool plan_is_open_ = false;
  TimePoint planned_at_{};
  int64_t num_chunk_tokens_ = 0;                    // in the plan
  std::vector<BlockId> found_;                      // Admit's
  std::vector<DraftPolicy::Candidate> candidates_;  // OrderDrafts', of parts in their order
  std::vector<Event> events_;
  SchedulerCounts counts_;
};

}  // namespace hadal
