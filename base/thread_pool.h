#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/functional/function_ref.h>
#include <absl/synchronization/mutex.h>

namespace hadal {

/// A fixed set of workers for one data-parallel loop at a time. The calling thread works too, so a
/// pool of one has no extra threads. ParallelFor is called by one thread at a time and not from
/// inside a body.
class ThreadPool {
 public:
  /// REQUIRES: num_threads >= 1.
  explicit ThreadPool(int32_t num_threads);
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  ~ThreadPool();

  [[nodiscard]] int32_t num_threads() const { return static_cast<int32_t>(workers_.size()) + 1; }

  /// One piece of a loop: items [begin, end), run by `worker`, 0 <= worker < num_threads(). Pieces
  /// that run at the same time have different workers, so scratch can be kept one per worker.
  using Body = absl::FunctionRef<void(int64_t begin, int64_t end, int32_t worker)>;

  /// Calls `body` over disjoint pieces of [0, num_items), each of at most `grain` items, handed out
  /// in rising order to whichever thread is free. Returns when all are done; what the bodies wrote
  /// is then visible to the caller. The body must not throw.
  void ParallelFor(int64_t num_items, int64_t grain, Body body);

 private:
  struct Loop {
    Body body;
    int64_t num_items;
    int64_t grain;
    std::atomic<int64_t> next = 0;
  };

  void WorkerMain(int32_t worker);
  static void RunPieces(Loop& loop, int32_t worker);

  absl::Mutex mutex_;
  Loop* loop_ ABSL_GUARDED_BY(mutex_) = nullptr;  // not null while a loop runs
  int64_t loop_id_ ABSL_GUARDED_BY(mutex_) = 0;
  int32_t num_busy_ ABSL_GUARDED_BY(mutex_) = 0;  // workers inside the current loop
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> workers_;
};

/// The number of hardware threads this process may run on (its CPU affinity), at least 1.
int32_t NumUsableCpus();

}  // namespace hadal
