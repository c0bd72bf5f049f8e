// What a parallel loop costs beyond the work in it. The arguments: threads, and microseconds of
// serial work before each loop, which do not count. Of the two times that are told, the median is
// the one to compare: whatever else the machine runs disturbs the mean.

#include <algorithm>
#include <chrono>
#include <thread>
#include <vector>

#include <benchmark/benchmark.h>

#include "base/clock.h"
#include "base/cpu/allotment.h"
#include "base/thread_pool.h"

namespace hadal {
namespace {

constexpr int64_t kPieceMicroseconds = 20;

void WorkFor(std::chrono::microseconds duration) {
  const SteadyClock clock;
  const TimePoint end = clock.Now() + duration;
  while (clock.Now() < end) {
  }
}

// As steps are run: from a thread of its own, which is pinned as the workers are.
template <typename Body>
void TimeLoops(benchmark::State& state, const Body& body) {
  ThreadPool pool(static_cast<int32_t>(state.range(0)), ReadCpuAllotment());
  std::thread caller([&] {
    pool.PinCaller();
    const std::chrono::microseconds pause(state.range(1));
    const SteadyClock clock;
    std::vector<double> seconds;
    seconds.reserve(static_cast<size_t>(state.max_iterations));
    for (auto _ : state) {
      WorkFor(pause);
      const TimePoint begin = clock.Now();
      pool.ParallelFor(pool.num_threads(), 1, body);
      seconds.push_back(std::chrono::duration<double>(clock.Now() - begin).count());
      state.SetIterationTime(seconds.back());
    }
    const auto middle = seconds.begin() + std::ssize(seconds) / 2;
    std::nth_element(seconds.begin(), middle, seconds.end());
    state.counters["median_us"] = *middle * 1e6;
  });
  caller.join();
}

void Configure(benchmark::internal::Benchmark* benchmark) {
  // Pauses take time that Google Benchmark does not see, so the number of loops is given.
  benchmark->ArgsProduct({{2}, {0, 20, 1000}})
      ->ArgNames({"threads", "pause"})
      ->Iterations(1000)
      ->UseManualTime();
}

void BM_EmptyLoop(benchmark::State& state) {
  TimeLoops(state, [](int64_t /*begin*/, int64_t /*end*/, int32_t /*worker*/) {});
}
BENCHMARK(BM_EmptyLoop)->Apply(Configure);

// One piece of 20 us for each thread: what is more than that is hand-over.
void BM_LoopOfBusyPieces(benchmark::State& state) {
  TimeLoops(state, [](int64_t /*begin*/, int64_t /*end*/, int32_t /*worker*/) {
    WorkFor(std::chrono::microseconds(kPieceMicroseconds));
  });
}
BENCHMARK(BM_LoopOfBusyPieces)->Apply(Configure);

}  // namespace
}  // namespace hadal
