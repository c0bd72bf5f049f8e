#include "server/http/wake_queue.h"

#include <utility>

#include <boost/asio/post.hpp>

#include "server/http/connection.h"

namespace hadal {

void ConnectionWaker::Notify() {
  if (!notified_.exchange(true)) {
    queue_->Add(shared_from_this());
  }
}

void WakeQueue::Add(std::shared_ptr<ConnectionWaker> waker) {
  const absl::MutexLock lock(&mutex_);
  if (context_ == nullptr) {
    return;
  }
  added_.push_back(std::move(waker));
  if (added_.size() == 1) {
    boost::asio::post(*context_, [self = shared_from_this()] { self->WakeAll(); });
  }
}

void WakeQueue::Close() {
  const absl::MutexLock lock(&mutex_);
  context_ = nullptr;
  added_.clear();
}

void WakeQueue::WakeAll() {
  {
    const absl::MutexLock lock(&mutex_);
    woken_.swap(added_);
  }
  for (const std::shared_ptr<ConnectionWaker>& waker : woken_) {
    if (waker->connection_ != nullptr) {
      waker->connection_->Wake();
    }
  }
  woken_.clear();
}

}  // namespace hadal
