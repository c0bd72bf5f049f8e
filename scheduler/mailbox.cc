#include "scheduler/mailbox.h"

#include <utility>

#include "base/check.h"

namespace hadal {

Mailbox::Mailbox(const Limits& limits)
    : max_requests_(limits.max_requests), max_waiting_tokens_(limits.max_waiting_tokens) {}

absl::Status Mailbox::Submit(std::unique_ptr<LiveRequest> request) {
  const RequestId id = request->request.id;
  const int64_t num_tokens = request->num_prompt_tokens();
  const absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(CheckRoomLocked(id, num_tokens));
  num_waiting_tokens_ += num_tokens;
  live_.emplace(id,
                Live{.num_waiting_tokens = num_tokens,
                     .cancelled = false,
                     .stopped = std::vector<bool>(request->sequences.size())});
  messages_.emplace_back(SubmitRequest{std::move(request)});
  return absl::OkStatus();
}

absl::Status Mailbox::CheckRoom(RequestId id, int64_t num_prompt_tokens) const {
  const absl::MutexLock lock(&mutex_);
  return CheckRoomLocked(id, num_prompt_tokens);
}

absl::Status Mailbox::CheckRoomLocked(RequestId id, int64_t num_prompt_tokens) const {
  if (draining_) {
    return Unavailable("request %d: no more requests are taken, the server is shutting down",
                       static_cast<int64_t>(id));
  }
  if (live_.contains(id)) {
    return AlreadyExists("request %d: a live request has the same id", static_cast<int64_t>(id));
  }
  if (std::ssize(live_) >= max_requests_) {
    return ResourceExhausted("max_requests: %d requests are live already", max_requests_);
  }
  if (num_waiting_tokens_ > 0 && num_waiting_tokens_ + num_prompt_tokens > max_waiting_tokens_) {
    return ResourceExhausted(
        "max_waiting_tokens: %d prompt tokens wait already, and %d more would exceed %d",
        num_waiting_tokens_,
        num_prompt_tokens,
        max_waiting_tokens_);
  }
  return absl::OkStatus();
}

void Mailbox::Cancel(RequestId id) {
  const absl::MutexLock lock(&mutex_);
  const auto found = live_.find(id);
  if (found != live_.end()) {
    CancelLocked(id, found->second);
  }
}

void Mailbox::StopSequence(RequestId id, int32_t sequence) {
  const absl::MutexLock lock(&mutex_);
  const auto found = live_.find(id);
  if (found == live_.end() || found->second.cancelled) {
    return;
  }
  std::vector<bool>& stopped = found->second.stopped;
  const auto at = static_cast<size_t>(sequence);
  if (sequence >= 0 && at < stopped.size() && !stopped[at]) {
    stopped[at] = true;
    messages_.emplace_back(StopSequenceRequest{.id = id, .sequence = sequence});
  }
}

void Mailbox::Drain() {
  const absl::MutexLock lock(&mutex_);
  if (!draining_) {
    draining_ = true;
    messages_.emplace_back(DrainRequest{});
  }
  mutex_.Await(absl::Condition(&drained_));
}

void Mailbox::Stop() {
  const absl::MutexLock lock(&mutex_);
  draining_ = true;
  if (stopping_) {
    return;
  }
  stopping_ = true;
  for (auto& [id, live] : live_) {
    CancelLocked(id, live);
  }
  messages_.emplace_back(StopRequest{});
}

void Mailbox::Take(absl::Duration timeout, std::vector<LoopMessage>& messages) {
  messages.clear();
  const absl::MutexLock lock(&mutex_);
  if (timeout > absl::ZeroDuration()) {  // a wait of no time costs a system call all the same
    mutex_.AwaitWithTimeout(absl::Condition(this, &Mailbox::HasMessagesLocked), timeout);
  }
  messages.swap(messages_);
}

void Mailbox::Admit(RequestId id) {
  const absl::MutexLock lock(&mutex_);
  const auto found = live_.find(id);
  CHECK(found != live_.end());
  CHECK_GT(found->second.num_waiting_tokens, 0);
  num_waiting_tokens_ -= std::exchange(found->second.num_waiting_tokens, 0);
}

void Mailbox::Forget(RequestId id) {
  const absl::MutexLock lock(&mutex_);
  const auto found = live_.find(id);
  CHECK(found != live_.end());
  num_waiting_tokens_ -= found->second.num_waiting_tokens;
  live_.erase(found);
}

void Mailbox::FinishDrain() {
  const absl::MutexLock lock(&mutex_);
  CHECK(draining_);
  CHECK(live_.empty());
  drained_ = true;
}

int64_t Mailbox::num_live() const {
  const absl::MutexLock lock(&mutex_);
  return std::ssize(live_);
}

int64_t Mailbox::num_waiting_tokens() const {
  const absl::MutexLock lock(&mutex_);
  return num_waiting_tokens_;
}

// The scheduler ends a request within a step of its first cancel; more would tell it nothing.
void Mailbox::CancelLocked(RequestId id, Live& live) {
  if (!live.cancelled) {
    live.cancelled = true;
    messages_.emplace_back(CancelRequest{id});
  }
}

}  // namespace hadal
