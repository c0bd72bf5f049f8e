#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include <absl/functional/function_ref.h>

#include "base/cpu/allotment.h"

namespace hadal {

/// A fixed set of workers for one data-parallel loop at a time. The calling thread works too, so a
/// pool of one has no extra threads. ParallelFor is called by one thread at a time and not from
/// inside a body.
///
/// Who waits spins first and sleeps when that was in vain: a worker for the next loop, the caller
/// for pieces that others still run. Loops that follow one another closely thus cost no system
/// call, and a pool without loops costs no processor time. With more threads than can run at once
/// nobody spins.
class ThreadPool {
 public:
  /// Workers that run where the system puts them. REQUIRES: num_threads >= 1.
  explicit ThreadPool(int32_t num_threads);

  /// Workers that stay where they are: number i on allotment.cpu_ids[i], where there are as many
  /// and the system allows it. The caller's CPU is the first, but it is not pinned: threads that it
  /// starts would inherit that. REQUIRES: num_threads >= 1.
  ThreadPool(int32_t num_threads, const CpuAllotment& allotment);

  /// The same on all of what this process may use; 0 threads stand for DefaultNumThreads.
  static ThreadPool OfThisMachine(int32_t num_threads);

  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  ~ThreadPool();

  [[nodiscard]] int32_t num_threads() const { return static_cast<int32_t>(workers_.size()) + 1; }

  /// Pins the calling thread to the caller's CPU if workers are pinned. For a thread that lives for
  /// ParallelFor and starts no others.
  void PinCaller() const;

  /// How many workers sleep. Any thread.
  [[nodiscard]] int32_t num_sleeping() const { return num_sleeping_.load(); }

  /// One piece of a loop: items [begin, end), run by `worker`, 0 <= worker < num_threads(). Pieces
  /// that run at the same time have different workers, so scratch can be kept one per worker.
  using Body = absl::FunctionRef<void(int64_t begin, int64_t end, int32_t worker)>;

  /// Calls `body` over disjoint pieces of [0, num_items), each of at most `grain` items, handed out
  /// in rising order to whichever thread is free. Returns when all are done; what the bodies wrote
  /// is then visible to the caller. The body must not throw.
  /// REQUIRES: grain >= 1; fewer than 2^31 pieces.
  void ParallelFor(int64_t num_items, int64_t grain, Body body);

 private:
  struct Loop {
    Body body;
    int64_t num_items;
    int64_t grain;
  };

  static constexpr size_t kCacheLineBytes = 64;

  void WorkerMain(int32_t worker);
  bool WaitForPieces(uint64_t& last_pieces);
  void RunPieces(int32_t worker);
  void WaitForOthers();

  // How many pieces the loop has (upper half) and how many were taken (lower half, which goes
  // beyond when several ask at the end). One word: who takes a piece knows at once whether there
  // was one, and looks at the loop only then, so that a loop that is over is never touched.
  alignas(kCacheLineBytes) std::atomic<uint64_t> pieces_ = 0;
  const Loop* loop_ = nullptr;  // written while nobody has a piece, read by those that have one
  std::atomic<bool> in_loop_ = false;

  alignas(kCacheLineBytes) std::atomic<uint32_t> num_unfinished_ = 0;  // pieces
  std::atomic<bool> caller_sleeps_ = false;

  alignas(kCacheLineBytes) std::atomic<int32_t> num_sleeping_ = 0;  // workers
  std::atomic<uint32_t> num_wake_ups_ = 0;
  std::atomic<bool> stopping_ = false;
  const bool spins_;
  std::vector<int32_t> cpu_ids_;  // of the threads, the caller first; empty: not pinned
  std::vector<std::thread> workers_;
};

}  // namespace hadal
