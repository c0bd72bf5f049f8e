#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <thread>

#include <absl/container/flat_hash_set.h>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "base/clock.h"
#include "server/http/coroutine_stacks.h"
#include "server/http/wake_queue.h"

namespace hadal {

/// A thread that runs an io_context, and what belongs to that thread alone: its connections, the
/// stacks of their coroutines, the date that their responses carry.
class IoThread {
 public:
  /// `was_busy`, which may be null, is told at regular intervals how late the thread got to it.
  explicit IoThread(std::function<void(Duration delay)> was_busy);
  IoThread(const IoThread&) = delete;
  IoThread& operator=(const IoThread&) = delete;

  /// REQUIRES: not started, or joined.
  ~IoThread();

  void Start(const std::string& name);

  /// The thread ends when nothing is left to do. Any thread, once.
  void Finish();
  void Join() { thread_.join(); }

  /// Has the thread call `function`, behind what it was given before. Any thread.
  void Post(std::function<void()> function);

  boost::asio::io_context& context() { return context_; }

  // The thread's own.
  absl::flat_hash_set<Connection*>& connections() { return connections_; }
  CoroutineStacks& stacks() { return stacks_; }
  const std::shared_ptr<WakeQueue>& wake_queue() { return wake_queue_; }

  /// Now, as in the Date header.
  std::string_view Date();

  /// 32 hexadecimal digits that no other request has.
  std::string FreshRequestId();

 private:
  void MeasureDelay();

  boost::asio::io_context context_;
  const std::shared_ptr<WakeQueue> wake_queue_;
  CoroutineStacks stacks_;
  absl::flat_hash_set<Connection*> connections_;
  const std::function<void(Duration delay)> was_busy_;
  boost::asio::steady_timer delay_timer_;
  int64_t date_second_ = -1;
  std::string date_;
  std::mt19937_64 random_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  std::thread thread_;
};

}  // namespace hadal
