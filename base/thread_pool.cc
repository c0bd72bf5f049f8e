#include "base/thread_pool.h"

#include <algorithm>
#include <pthread.h>
#include <sched.h>
#include <string>

#include "base/check.h"

namespace hadal {

ThreadPool::ThreadPool(int32_t num_threads) {
  CHECK_GE(num_threads, 1);
  workers_.reserve(static_cast<size_t>(num_threads - 1));
  for (int32_t i = 1; i < num_threads; ++i) {
    workers_.emplace_back([this, i] { WorkerMain(i); });
    pthread_setname_np(workers_.back().native_handle(), ("pool-" + std::to_string(i)).c_str());
  }
}

ThreadPool::~ThreadPool() {
  {
    const absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  for (std::thread& worker : workers_) {
    worker.join();
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
  Loop loop{body, num_items, grain};
  {
    const absl::MutexLock lock(&mutex_);
    CHECK(loop_ == nullptr);
    loop_ = &loop;
    ++loop_id_;
  }
  RunPieces(loop, 0);
  const absl::MutexLock lock(&mutex_);
  loop_ = nullptr;  // late workers must not enter any more
  mutex_.Await(absl::Condition(
      +[](int32_t* num_busy) { return *num_busy == 0; }, &num_busy_));
}

void ThreadPool::WorkerMain(int32_t worker) {
  int64_t last_loop_id = 0;
  while (true) {
    Loop* loop = nullptr;
    {
      const absl::MutexLock lock(&mutex_);
      const auto ready = [this, &last_loop_id]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
        return stopping_ || (loop_ != nullptr && loop_id_ != last_loop_id);
      };
      mutex_.Await(absl::Condition(&ready));
      if (stopping_) {
        return;
      }
      loop = loop_;
      last_loop_id = loop_id_;
      ++num_busy_;
    }
    RunPieces(*loop, worker);
    const absl::MutexLock lock(&mutex_);
    --num_busy_;
  }
}

void ThreadPool::RunPieces(Loop& loop, int32_t worker) {
  while (true) {
    const int64_t begin = loop.next.fetch_add(loop.grain, std::memory_order_relaxed);
    if (begin >= loop.num_items) {
      return;
    }
    loop.body(begin, std::min(begin + loop.grain, loop.num_items), worker);
  }
}

int32_t NumUsableCpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) == 0) {
    return std::max(1, CPU_COUNT(&set));
  }
  return std::max(1, static_cast<int32_t>(std::thread::hardware_concurrency()));
}

}  // namespace hadal
