#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <utility>

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>

#include "base/check.h"

namespace hadal {

/// First in, first out, at most `capacity` items; full is an answer, never a wait. After Close,
/// pushes fail and pops drain what is left. Any thread.
template <typename T>
class BoundedQueue {
 public:
  explicit BoundedQueue(size_t capacity) : capacity_(capacity) { CHECK_GT(capacity, size_t{0}); }

  /// False when the queue is full or closed; then `item` is left as it was.
  [[nodiscard]] bool TryPush(T&& item) {
    const absl::MutexLock lock(&mutex_);
    if (closed_ || items_.size() == capacity_) {
      return false;
    }
    items_.push_back(std::move(item));
    return true;
  }

  /// The oldest item, or nothing when the queue is empty.
  std::optional<T> TryPop() {
    const absl::MutexLock lock(&mutex_);
    return PopLocked();
  }

  /// Waits up to `timeout` for an item. Nothing when the time is over, or closed and empty.
  std::optional<T> Pop(absl::Duration timeout) {
    const absl::MutexLock lock(&mutex_);
    mutex_.AwaitWithTimeout(absl::Condition(this, &BoundedQueue::ReadyLocked), timeout);
    return PopLocked();
  }

  /// Idempotent.
  void Close() {
    const absl::MutexLock lock(&mutex_);
    closed_ = true;
  }

  [[nodiscard]] size_t size() const {
    const absl::MutexLock lock(&mutex_);
    return items_.size();
  }

 private:
  bool ReadyLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return closed_ || !items_.empty();
  }
  std::optional<T> PopLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (items_.empty()) {
      return std::nullopt;
    }
    std::optional<T> item(std::move(items_.front()));
    items_.pop_front();
    return item;
  }

  const size_t capacity_;
  mutable absl::Mutex mutex_;
  std::deque<T> items_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace hadal
