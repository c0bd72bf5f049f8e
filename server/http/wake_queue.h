#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>
#include <boost/asio/io_context.hpp>

#include "server/http/exchange.h"

namespace hadal {

class Connection;
class WakeQueue;

/// The Waker of one connection. The thread of that connection alone calls Take and Detach.
class ConnectionWaker final : public Waker, public std::enable_shared_from_this<ConnectionWaker> {
 public:
  ConnectionWaker(std::shared_ptr<WakeQueue> queue, Connection& connection)
      : queue_(std::move(queue)), connection_(&connection) {}

  void Notify() override;

  /// Whether it was notified since the last call. What was written before Notify is seen after.
  bool Take() { return notified_.exchange(false); }

  /// The connection has ended: notifications do nothing from now on.
  void Detach() { connection_ = nullptr; }

 private:
  friend class WakeQueue;
  const std::shared_ptr<WakeQueue> queue_;
  std::atomic<bool> notified_ = false;
  Connection* connection_;  // null after Detach
};

/// The connections of one I/O thread that are to be woken. However many are notified at once, by
/// however many threads, the I/O thread is interrupted once.
class WakeQueue : public std::enable_shared_from_this<WakeQueue> {
 public:
  /// `context` is the I/O thread's.
  explicit WakeQueue(boost::asio::io_context& context) : context_(&context) {}

  /// Any thread.
  void Add(std::shared_ptr<ConnectionWaker> waker);

  /// The context is about to go away: nothing is woken from now on.
  void Close();

 private:
  void WakeAll();

  absl::Mutex mutex_;
  boost::asio::io_context* context_ ABSL_GUARDED_BY(mutex_);  // null when closed
  std::vector<std::shared_ptr<ConnectionWaker>> added_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::shared_ptr<ConnectionWaker>> woken_;  // the I/O thread's
};

}  // namespace hadal
