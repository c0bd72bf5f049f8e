#include "server/generation/admission.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "base/check.h"

namespace hadal {
namespace {

constexpr double kMemorySeconds = 10;  // after so long, what was counted weighs 1/e
constexpr int64_t kMaxRetryAfterSeconds = 60;

double SecondsBetween(TimePoint from, TimePoint to) {
  return std::chrono::duration<double>(to - from).count();
}

}  // namespace

Admission::Admission(const Load& limits, const Clock& clock, ServerMetrics& metrics)
    : limits_(limits),
      clock_(clock),
      metrics_(metrics),
      requests_(clock.Now()),
      prompt_tokens_(clock.Now()) {}

absl::StatusOr<Admission::Reservation> Admission::Reserve(const Load& load) {
  {
    const absl::MutexLock lock(&mutex_);
    if (draining_) {
      metrics_.CountRejection(RejectReason::kDraining);
      return Unavailable("the server is shutting down and takes no more requests");
    }
    RETURN_IF_ERROR(ChangeLocked(Load{}, load));
  }
  return Reservation(*this, load);
}

void Admission::BeginDrain() {
  const absl::MutexLock lock(&mutex_);
  draining_ = true;
}

// Whether a reservation may grow from `from` to `to`; growing in one kind of load and shrinking in
// another are judged apart.
absl::Status Admission::CheckRoomLocked(const Load& from, const Load& to) {
  const auto exceeds = [](int64_t held, int64_t from_units, int64_t to_units, int64_t limit) {
    return to_units > from_units && held - from_units + to_units > limit;
  };
  if (exceeds(held_.requests, from.requests, to.requests, limits_.requests)) {
    metrics_.CountRejection(RejectReason::kRequests);
    return ResourceExhausted("the server is at its limit of %d requests", limits_.requests);
  }
  const bool others_wait = held_.prompt_tokens > from.prompt_tokens;
  if (others_wait &&
      exceeds(held_.prompt_tokens, from.prompt_tokens, to.prompt_tokens, limits_.prompt_tokens)) {
    metrics_.CountRejection(RejectReason::kTokens);
    return ResourceExhausted("the server is at its limit of %d prompt tokens that wait",
                             limits_.prompt_tokens);
  }
  if (exceeds(held_.body_bytes, from.body_bytes, to.body_bytes, limits_.body_bytes)) {
    metrics_.CountRejection(RejectReason::kMemory);
    return ResourceExhausted("the server is at its limit of %d bytes of request bodies",
                             limits_.body_bytes);
  }
  return absl::OkStatus();
}

absl::Status Admission::ChangeLocked(const Load& from, const Load& to) {
  RETURN_IF_ERROR(CheckRoomLocked(from, to));
  const TimePoint now = clock_.Now();
  requests_.Add(std::max(from.requests - to.requests, int64_t{0}), now);
  prompt_tokens_.Add(std::max(from.prompt_tokens - to.prompt_tokens, int64_t{0}), now);
  metrics_.ChangeInFlightBytes(to.body_bytes - from.body_bytes);
  held_.requests += to.requests - from.requests;
  held_.prompt_tokens += to.prompt_tokens - from.prompt_tokens;
  held_.body_bytes += to.body_bytes - from.body_bytes;
  return absl::OkStatus();
}

int64_t Admission::RetryAfterSeconds() const {
  const absl::MutexLock lock(&mutex_);
  const TimePoint now = clock_.Now();
  // Prompts that wait must be begun, and one request must end, before there is room.
  double seconds = 1;
  if (held_.prompt_tokens > 0) {
    const double rate = prompt_tokens_.PerSecond(now);
    seconds = std::max(seconds, static_cast<double>(held_.prompt_tokens) / rate);
  }
  if (held_.requests >= limits_.requests) {
    seconds = std::max(seconds, 1 / requests_.PerSecond(now));
  }
  return static_cast<int64_t>(
      std::ceil(std::min(seconds, static_cast<double>(kMaxRetryAfterSeconds))));
}

Load Admission::held() const {
  const absl::MutexLock lock(&mutex_);
  return held_;
}

// An exponential average: each unit counts exp(-age / kMemorySeconds), over the time that counts
// likewise. So a server that has run for a second is judged by that second.
void Admission::Rate::Add(int64_t units, TimePoint now) {
  const double kept = std::exp(-SecondsBetween(last_, now) / kMemorySeconds);
  sum_ = sum_ * kept + static_cast<double>(units);
  last_ = now;
}

double Admission::Rate::PerSecond(TimePoint now) const {
  const double sum = sum_ * std::exp(-SecondsBetween(last_, now) / kMemorySeconds);
  const double seconds =
      kMemorySeconds * -std::expm1(-SecondsBetween(start_, now) / kMemorySeconds);
  return seconds > 0 ? sum / seconds : 0;
}

Admission::Reservation& Admission::Reservation::operator=(Reservation&& other) noexcept {
  if (this != &other) {
    Release();
    admission_ = std::exchange(other.admission_, nullptr);
    load_ = std::exchange(other.load_, Load{});
  }
  return *this;
}

absl::Status Admission::Reservation::Change(const Load& load) {
  CHECK(admission_ != nullptr);
  const absl::MutexLock lock(&admission_->mutex_);
  RETURN_IF_ERROR(admission_->ChangeLocked(load_, load));
  load_ = load;
  return absl::OkStatus();
}

Admission::Reservation Admission::Reservation::Split(const Load& part) {
  CHECK(admission_ != nullptr);
  CHECK_GE(load_.requests, part.requests);
  CHECK_GE(load_.prompt_tokens, part.prompt_tokens);
  CHECK_GE(load_.body_bytes, part.body_bytes);
  load_.requests -= part.requests;
  load_.prompt_tokens -= part.prompt_tokens;
  load_.body_bytes -= part.body_bytes;
  return {*admission_, part};
}

void Admission::Reservation::Release() {
  if (admission_ != nullptr) {
    CHECK(Change(Load{}).ok());  // less is never refused
    admission_ = nullptr;
  }
}

}  // namespace hadal
