#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/container/flat_hash_map.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>

namespace hadal {

enum class StreamId : int64_t {};

/// What happened to a stream.
enum class StreamEvent : int8_t {
  kOpened,      // it came to the worker
  kNews,        // its generation may have something to read
  kWritten,     // the message that was being written is on its way
  kNotWritten,  // and never will be
  kClientGone,  // the client cancelled, its deadline passed, or its connection is lost
  kCancelled,   // another call asks for its end
  kTick,        // time went by, or the state of the server changed
  kClosed,      // the last event: nobody else knows it any more
};

/// One answer on its way to its client, as the worker sees it.
class WorkerStream {
 public:
  WorkerStream() = default;
  WorkerStream(const WorkerStream&) = delete;
  WorkerStream& operator=(const WorkerStream&) = delete;
  virtual ~WorkerStream() = default;

  /// On the worker's thread; must not wait.
  virtual void Handle(StreamEvent event) = 0;
};

/// Where events wait for the worker. Those of streams that the worker does not know are dropped, so
/// that whoever tells of news may do so after the stream's end. Any thread; never waits.
class StreamEvents {
 public:
  struct Entry {
    StreamId id{};
    StreamEvent event{};
    std::unique_ptr<WorkerStream> stream = nullptr;  // of kOpened
  };

  void Push(Entry entry);
  void PushTick();
  void PushEnd();

  /// For the worker: swaps what came for `entries`, waiting up to `timeout` for something. What
  /// came besides: a tick, the end.
  struct Signals {
    bool tick = false;
    bool end = false;
  };
  Signals Take(absl::Duration timeout, std::vector<Entry>& entries);

 private:
  [[nodiscard]] bool HasSomething() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return !entries_.empty() || signals_.tick || signals_.end;
  }

  absl::Mutex mutex_;
  std::vector<Entry> entries_ ABSL_GUARDED_BY(mutex_);
  Signals signals_ ABSL_GUARDED_BY(mutex_);
};

/// Runs all streams on one thread, `grpc-0`: each stream's events in their order, one at a time, so
/// that streams need no locks. Every second each stream gets a tick.
class StreamWorker {
 public:
  StreamWorker();
  StreamWorker(const StreamWorker&) = delete;
  StreamWorker& operator=(const StreamWorker&) = delete;

  /// REQUIRES: the streams have got their kClosed, or it has been pushed.
  ~StreamWorker();

  StreamId NewId() { return StreamId{next_id_.fetch_add(1)}; }

  /// What is told of a stream before this is dropped.
  void Open(StreamId id, std::unique_ptr<WorkerStream> stream);

  /// To be kept by those who may tell of a stream when the worker is gone.
  [[nodiscard]] const std::shared_ptr<StreamEvents>& events() const { return events_; }

 private:
  void Run();
  void HandleEntry(StreamEvents::Entry& entry);

  const std::shared_ptr<StreamEvents> events_ = std::make_shared<StreamEvents>();
  std::atomic<int64_t> next_id_ = 1;
  absl::flat_hash_map<StreamId, std::unique_ptr<WorkerStream>> streams_;  // the thread's
  std::thread thread_;
};

}  // namespace hadal
