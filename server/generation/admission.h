#pragma once

#include <cstdint>
#include <utility>

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>

#include "base/clock.h"
#include "base/status.h"
#include "server/operations/server_metrics.h"

namespace hadal {

/// What one request takes of the server while it is in it.
struct Load {
  int64_t requests = 0;       // sequences: n choices of a prompt count n times
  int64_t prompt_tokens = 0;  // that no step has begun to compute
  int64_t body_bytes = 0;     // of its body, until that is read and understood
};

/// Lets requests in or refuses them, before any work is done for them, and knows how fast the
/// server drains. Any thread.
///
/// Invariants:
///   1. For each kind of load, what reservations hold never exceeds the limit, except that one
///      request's prompt_tokens may when no others wait.
///   2. When no reservation is left, nothing is held.
class Admission {
 public:
  class Reservation;

  /// Borrows clock and metrics, which are told of refusals and of bytes held.
  Admission(const Load& limits, const Clock& clock, ServerMetrics& metrics);
  Admission(const Admission&) = delete;
  Admission& operator=(const Admission&) = delete;

  /// All of `load` or nothing. ResourceExhausted naming the limit; Unavailable once draining.
  absl::StatusOr<Reservation> Reserve(const Load& load);

  /// From now on Reserve answers Unavailable.
  void BeginDrain();

  /// After how many seconds a refused client should try again: what waits, by the measured rate at
  /// which requests end and prompts are begun. In [1, 60].
  [[nodiscard]] int64_t RetryAfterSeconds() const;

  [[nodiscard]] Load held() const;
  [[nodiscard]] const Load& limits() const { return limits_; }

 private:
  // Units a second, an average in which old ones count less and less.
  class Rate {
   public:
    explicit Rate(TimePoint start) : start_(start), last_(start) {}
    void Add(int64_t units, TimePoint now);
    [[nodiscard]] double PerSecond(TimePoint now) const;

   private:
    TimePoint start_;
    TimePoint last_;
    double sum_ = 0;  // as of last_
  };

  absl::Status CheckRoomLocked(const Load& from, const Load& to)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status ChangeLocked(const Load& from, const Load& to) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Load limits_;
  const Clock& clock_;
  ServerMetrics& metrics_;
  mutable absl::Mutex mutex_;
  Load held_ ABSL_GUARDED_BY(mutex_);
  Rate requests_ ABSL_GUARDED_BY(mutex_);
  Rate prompt_tokens_ ABSL_GUARDED_BY(mutex_);
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
};

/// A share of the server, given back when it ends. Movable. One thread at a time.
class Admission::Reservation {
 public:
  Reservation() = default;
  Reservation(Reservation&& other) noexcept
      : admission_(std::exchange(other.admission_, nullptr)),
        load_(std::exchange(other.load_, Load{})) {}
  Reservation& operator=(Reservation&& other) noexcept;
  ~Reservation() { Release(); }

  [[nodiscard]] const Load& load() const { return load_; }

  /// Holds `load` from now on. More than before: ResourceExhausted when a limit is reached, and
  /// nothing changes. REQUIRES: it was not released.
  absl::Status Change(const Load& load);

  /// A part of it, from now on held apart. REQUIRES: it holds that much.
  Reservation Split(const Load& part);

  /// Gives everything back, if that has not happened.
  void Release();

 private:
  friend class Admission;
  Reservation(Admission& admission, const Load& load) : admission_(&admission), load_(load) {}

  Admission* admission_ = nullptr;
  Load load_;
};

}  // namespace hadal
