#include "base/thread_pool.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <pthread.h>
#include <sched.h>
#include <string>

#include "base/check.h"
#include "base/clock.h"
#include "base/cpu/pause.h"

namespace hadal {
namespace {

// About what it costs to sleep and be woken, so that waiting costs at most twice what it would with
// foresight. Longer than a step's serial parts between loops.
constexpr Duration kSpinTime = std::chrono::microseconds(100);
constexpr int32_t kPausesPerLook = 16;  // at the clock

constexpr int64_t kMaxPieces = (int64_t{1} << 31) - 1;
constexpr uint32_t kHalfBits = 32;

// Whether pieces are left to take.
bool HasPieces(uint64_t pieces) {
  return static_cast<uint32_t>(pieces) < (pieces >> kHalfBits);
}

// Spins until `is_over()`, or until spinning has been in vain; `restarts()` begins the time anew.
template <typename IsOver, typename Restarts>
bool Spin(const IsOver& is_over, const Restarts& restarts) {
  const SteadyClock clock;
  TimePoint deadline = clock.Now() + kSpinTime;
  while (true) {
    for (int32_t i = 0; i < kPausesPerLook; ++i) {
      if (is_over()) {
        return true;
      }
      Pause();
    }
    const TimePoint now = clock.Now();
    if (restarts()) {
      deadline = now + kSpinTime;
    } else if (now >= deadline) {
      return false;
    }
  }
}

// Without effect where the system refuses.
void PinThread(pthread_t thread, int32_t cpu_id) {
  std::array<cpu_set_t, 8> sets{};
  CPU_SET_S(static_cast<size_t>(cpu_id), sizeof(sets), sets.data());
  pthread_setaffinity_np(thread, sizeof(sets), sets.data());
}

CpuAllotment WithoutCpus(CpuAllotment allotment) {
  allotment.num_cores = NumRunningThreads(allotment);
  allotment.cpu_ids.clear();
  return allotment;
}

}  // namespace

ThreadPool::ThreadPool(int32_t num_threads)
    : ThreadPool(num_threads, WithoutCpus(ReadCpuAllotment())) {}

ThreadPool::ThreadPool(int32_t num_threads, const CpuAllotment& allotment)
    : spins_(num_threads <= NumRunningThreads(allotment)) {
  CHECK_GE(num_threads, 1);
  if (num_threads <= std::ssize(allotment.cpu_ids)) {
    cpu_ids_.assign(allotment.cpu_ids.begin(), allotment.cpu_ids.begin() + num_threads);
  }
  workers_.reserve(static_cast<size_t>(num_threads - 1));
  for (int32_t i = 1; i < num_threads; ++i) {
    std::thread& worker = workers_.emplace_back([this, i] { WorkerMain(i); });
    pthread_setname_np(worker.native_handle(), ("pool-" + std::to_string(i)).c_str());
    if (!cpu_ids_.empty()) {
      PinThread(worker.native_handle(), cpu_ids_[static_cast<size_t>(i)]);
    }
  }
}

ThreadPool ThreadPool::OfThisMachine(int32_t num_threads) {
  const CpuAllotment allotment = ReadCpuAllotment();
  return ThreadPool(num_threads > 0 ? num_threads : DefaultNumThreads(allotment), allotment);
}

ThreadPool::~ThreadPool() {
  stopping_.store(true);
  num_wake_ups_.fetch_add(1);
  num_wake_ups_.notify_all();
  for (std::thread& worker : workers_) {
    worker.join();
  }
}

void ThreadPool::PinCaller() const {
  if (!cpu_ids_.empty()) {
    PinThread(pthread_self(), cpu_ids_.front());
  }
}

void ThreadPool::ParallelFor(int64_t num_items, int64_t grain, Body body) {
  CHECK_GE(grain, 1);
  if (num_items <= 0) {
    return;
  }
  if (workers_.empty() || num_items <= grain) {
    for (int64_t begin = 0; begin < num_items; begin += grain) {
      body(begin, std::min(begin + grain, num_items), 0);
    }
    return;
  }
  const int64_t num_pieces = (num_items - 1) / grain + 1;
  CHECK_LE(num_pieces, kMaxPieces);
  CHECK(!in_loop_.exchange(true, std::memory_order_acquire));
  const Loop loop{body, num_items, grain};
  loop_ = &loop;
  num_unfinished_.store(static_cast<uint32_t>(num_pieces), std::memory_order_relaxed);
  // Either a worker that goes to sleep sees the pieces, or it is seen to sleep: both threads write
  // one of two words and then read the other, in the one order of sequentially consistent accesses.
  pieces_.store(static_cast<uint64_t>(num_pieces) << kHalfBits);
  if (num_sleeping_.load() > 0) {
    num_wake_ups_.fetch_add(1);
    num_wake_ups_.notify_all();
  }
  RunPieces(0);
  WaitForOthers();
  loop_ = nullptr;
  in_loop_.store(false, std::memory_order_release);
}

void ThreadPool::WorkerMain(int32_t worker) {
  uint64_t last_pieces = 0;
  while (WaitForPieces(last_pieces)) {
    RunPieces(worker);
  }
}

// False when the pool ends. Spinning begins anew with each loop that was seen, in `last_pieces`,
// also if others took all of it.
bool ThreadPool::WaitForPieces(uint64_t& last_pieces) {
  const auto is_over = [this] { return HasPieces(pieces_.load(std::memory_order_relaxed)); };
  const auto restarts = [this, &last_pieces] {
    const uint64_t pieces = pieces_.load(std::memory_order_relaxed);
    const bool is_new = pieces != last_pieces;
    last_pieces = pieces;
    return is_new;
  };
  while (!stopping_.load(std::memory_order_relaxed)) {
    if (is_over() || (spins_ && Spin(is_over, restarts))) {
      return true;
    }
    // What changes after this is read shows in it, and wait() returns at once.
    const uint32_t num_wake_ups = num_wake_ups_.load();
    num_sleeping_.fetch_add(1);
    if (!HasPieces(pieces_.load()) && !stopping_.load()) {
      num_wake_ups_.wait(num_wake_ups);
    }
    num_sleeping_.fetch_sub(1);
  }
  return false;
}

void ThreadPool::RunPieces(int32_t worker) {
  uint32_t num_done = 0;
  // A look before each taking: those who find nothing must not count up without end.
  while (HasPieces(pieces_.load(std::memory_order_relaxed))) {
    const uint64_t pieces = pieces_.fetch_add(1, std::memory_order_acquire);
    if (!HasPieces(pieces)) {
      break;
    }
    // A piece that is taken and not counted as finished keeps the loop alive.
    const Loop& loop = *loop_;
    const int64_t begin = static_cast<uint32_t>(pieces) * loop.grain;
    loop.body(begin, std::min(begin + loop.grain, loop.num_items), worker);
    ++num_done;
  }
  if (num_done > 0 && num_unfinished_.fetch_sub(num_done) == num_done && caller_sleeps_.load()) {
    num_unfinished_.notify_one();
  }
}

void ThreadPool::WaitForOthers() {
  const auto is_over = [this] { return num_unfinished_.load(std::memory_order_acquire) == 0; };
  if (is_over() || (spins_ && Spin(is_over, [] { return false; }))) {
    return;
  }
  caller_sleeps_.store(true);
  while (true) {
    const uint32_t num_unfinished = num_unfinished_.load();
    if (num_unfinished == 0) {
      break;
    }
    num_unfinished_.wait(num_unfinished);
  }
  caller_sleeps_.store(false);
}

}  // namespace hadal
