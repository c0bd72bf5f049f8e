#pragma once

#include <cstdint>
#include <memory>
#include <variant>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/container/flat_hash_map.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>

#include "base/status.h"
#include "scheduler/limits.h"
#include "scheduler/request.h"
#include "scheduler/sequence.h"

namespace hadal {

/// A request to take in.
struct SubmitRequest {
  std::unique_ptr<LiveRequest> request;
};

/// A live request to end. Comes after its SubmitRequest.
struct CancelRequest {
  RequestId id;
};

/// One sequence of a live request to end with kStop. Comes after its SubmitRequest.
struct StopSequenceRequest {
  RequestId id;
  int32_t sequence;
};

/// No SubmitRequest follows: FinishDrain is to be called when all requests have ended.
struct DrainRequest {};

/// Nothing follows, and all live requests have been cancelled: the loop is to end with the last.
struct StopRequest {};

using LoopMessage =
    std::variant<SubmitRequest, CancelRequest, StopSequenceRequest, DrainRequest, StopRequest>;

/// What any thread has to say to the loop's thread, and the one place where requests are let in or
/// refused: under one lock a request gets its id, one of max_requests places and its prompt's share
/// of max_waiting_tokens, or none of them. The scheduler counts the same things for shorter times,
/// so it has room for all that comes from here.
///
/// Invariants:
///   1. Live: submitted and not forgotten. At most max_requests are, with distinct ids.
///   2. Prompts of live requests that are not admitted have at most max_waiting_tokens together, or
///      there is only one.
///   3. Bounded, whatever callers do: holds at most one SubmitRequest, one CancelRequest and one
///      StopSequenceRequest for each sequence of a live request; the latter two also of requests
///      forgotten since Take; and one each of the others. What comes too late stands before any
///      submit with the same id. No StopSequenceRequest follows the CancelRequest of its request.
class Mailbox {
 public:
  explicit Mailbox(const Limits& limits);
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;

  // Any thread. None of these waits but Drain.

  /// ResourceExhausted, naming the limit, when it is reached; AlreadyExists for the id of a live
  /// request; Unavailable after Drain or Stop. Then the request is gone.
  absl::Status Submit(std::unique_ptr<LiveRequest> request);

  /// What Submit would answer now: asked before a LiveRequest is made, so that a refusal is cheap.
  [[nodiscard]] absl::Status CheckRoom(RequestId id, int64_t num_prompt_tokens) const;

  /// Never refused; ids that are not live, or are cancelled already, leave no message.
  void Cancel(RequestId id);

  /// Never refused; leaves no message for a sequence that is stopped already, or unknown, or of a
  /// request that is not live or cancelled already.
  void StopSequence(RequestId id, int32_t sequence);

  /// Refuses submits from now on and waits until the loop has called FinishDrain.
  void Drain();

  /// Refuses submits from now on, cancels all live requests and tells the loop to end.
  void Stop();

  // The loop's thread.

  /// Replaces `messages` by all that there are, oldest first, waiting up to `timeout` for one.
  void Take(absl::Duration timeout, std::vector<LoopMessage>& messages);

  /// The prompt no longer counts against max_waiting_tokens. REQUIRES: live, not admitted yet.
  void Admit(RequestId id);

  /// The request has ended: its place and id are free. REQUIRES: live.
  void Forget(RequestId id);

  /// All requests have ended, for good: Drain returns. Idempotent. REQUIRES: none is live.
  void FinishDrain();

  [[nodiscard]] int64_t num_live() const;
  [[nodiscard]] int64_t num_waiting_tokens() const;

 private:
  absl::Status CheckRoomLocked(RequestId id, int64_t num_prompt_tokens) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  struct Live {
    int64_t num_waiting_tokens;  // 0 once admitted
    bool cancelled;
    std::vector<bool> stopped;  // [num_sequences]
  };

  void CancelLocked(RequestId id, Live& live) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  [[nodiscard]] bool HasMessagesLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return !messages_.empty();
  }

  const int64_t max_requests_;
  const int64_t max_waiting_tokens_;

  mutable absl::Mutex mutex_;
  std::vector<LoopMessage> messages_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<RequestId, Live> live_ ABSL_GUARDED_BY(mutex_);
  int64_t num_waiting_tokens_ ABSL_GUARDED_BY(mutex_) = 0;
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  bool drained_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace hadal
