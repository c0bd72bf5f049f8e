#include "base/thread_pool.h"

#include <atomic>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/cpu/topology.h"

namespace hadal {
namespace {

using testing::ElementsAre;

constexpr int32_t kManyCpus = 64;

// Says that so many threads can run at once, so that those of a pool spin or do not.
CpuAllotment Pretend(int32_t num_cores) {
  return {.cpu_ids = {}, .num_cores = num_cores, .quota = {}};
}

// The number of threads, and how many the pool is told that can run at once.
class ThreadPoolTest : public testing::TestWithParam<std::tuple<int32_t, int32_t>> {
 protected:
  ThreadPool pool_{std::get<0>(GetParam()), Pretend(std::get<1>(GetParam()))};
};

// Ends when all workers sleep, which they do soon after the last loop.
void WaitUntilAllSleep(const ThreadPool& pool) {
  while (pool.num_sleeping() < pool.num_threads() - 1) {
    std::this_thread::yield();
  }
}

// A loop that ends only when all threads of the pool have joined in; calls `body` in each.
template <typename Body>
void RunInAllThreads(ThreadPool& pool, const Body& body) {
  std::atomic<int32_t> num_arrived = 0;
  pool.ParallelFor(pool.num_threads(), 1, [&](int64_t /*begin*/, int64_t /*end*/, int32_t worker) {
    ++num_arrived;
    while (num_arrived.load() < pool.num_threads()) {
      std::this_thread::yield();
    }
    body(worker);
  });
}

TEST_P(ThreadPoolTest, EveryItemRunsOnceAndIsVisibleAfterwards) {
  for (const int64_t num_items : {0, 1, 2, 7, 1000}) {
    for (const int64_t grain : {1, 3, 2000}) {
      std::vector<int> runs(static_cast<size_t>(num_items), 0);
      pool_.ParallelFor(num_items, grain, [&](int64_t begin, int64_t end, int32_t worker) {
        EXPECT_TRUE(worker >= 0 && worker < pool_.num_threads());
        EXPECT_LE(end - begin, grain);
        for (int64_t i = begin; i < end; ++i) {
          ++runs[static_cast<size_t>(i)];
        }
      });
      EXPECT_EQ(runs, std::vector<int>(static_cast<size_t>(num_items), 1));
    }
  }
}

// What a loop uses is gone when it ends: a worker that comes late must not touch it.
TEST_P(ThreadPoolTest, ManyShortLoops) {
  for (int64_t loop = 0; loop < 2000; ++loop) {
    const int64_t num_items = 2 + loop % 5;
    const std::vector<int64_t> values(static_cast<size_t>(num_items), loop);
    std::vector<int64_t> copies(values.size(), -1);
    pool_.ParallelFor(num_items, 1, [&](int64_t begin, int64_t /*end*/, int32_t /*worker*/) {
      copies[static_cast<size_t>(begin)] = values[static_cast<size_t>(begin)];
    });
    ASSERT_EQ(copies, values);
  }
}

TEST_P(ThreadPoolTest, WorkersSleepWithoutLoopsAndAllWakeForTheNext) {
  for (int32_t loop = 0; loop < 20; ++loop) {
    WaitUntilAllSleep(pool_);
    std::vector<int32_t> runs(static_cast<size_t>(pool_.num_threads()), 0);
    RunInAllThreads(pool_, [&](int32_t worker) { ++runs[static_cast<size_t>(worker)]; });
    EXPECT_EQ(runs, std::vector<int32_t>(runs.size(), 1));
  }
}

TEST_P(ThreadPoolTest, TheCallerMayBeAnyThread) {
  for (int32_t i = 0; i < 20; ++i) {
    std::thread([this] { RunInAllThreads(pool_, [](int32_t /*worker*/) {}); }).join();
  }
}

INSTANTIATE_TEST_SUITE_P(Threads,
                         ThreadPoolTest,
                         testing::Combine(testing::Values(1, 2, 5), testing::Values(1, kManyCpus)));

TEST(ThreadPoolLimitsTest, PiecesAreCutFromTheEndsOfLargeNumbers) {
  ThreadPool pool(2);
  constexpr int64_t kItems = int64_t{1} << 62;
  constexpr int64_t kGrain = kItems / 4 + 1;
  std::atomic<int64_t> sum = 0;
  pool.ParallelFor(kItems, kGrain, [&sum](int64_t begin, int64_t end, int32_t /*worker*/) {
    sum += end - begin;
  });
  EXPECT_EQ(sum, kItems);
}

TEST(ThreadPoolDeathTest, LoopsDoNotNestAndHaveAGrain) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  ThreadPool pool(2);
  const auto nothing = [](int64_t /*begin*/, int64_t /*end*/, int32_t /*worker*/) {};
  EXPECT_DEATH(pool.ParallelFor(2, 0, nothing), "CHECK");
  EXPECT_DEATH(pool.ParallelFor(int64_t{1} << 40, 1, nothing), "CHECK");
  EXPECT_DEATH(pool.ParallelFor(2,
                                1,
                                [&](int64_t /*begin*/, int64_t /*end*/, int32_t /*worker*/) {
                                  pool.ParallelFor(2, 1, nothing);
                                }),
               "CHECK");
}

TEST(ThreadPoolPinningTest, WorkersStayOnTheirCpusAndTheCallerIsFree) {
  const CpuAllotment machine = ReadCpuAllotment();
  ASSERT_FALSE(machine.cpu_ids.empty());
  const std::vector<int32_t> free = UsableCpuIds();
  const auto num_threads = static_cast<int32_t>(machine.cpu_ids.size());
  ThreadPool pool(num_threads, machine);
  std::vector<std::vector<int32_t>> usable(static_cast<size_t>(num_threads));
  RunInAllThreads(pool,
                  [&](int32_t worker) { usable[static_cast<size_t>(worker)] = UsableCpuIds(); });
  EXPECT_EQ(usable[0], free);
  for (size_t worker = 1; worker < usable.size(); ++worker) {
    EXPECT_THAT(usable[worker], ElementsAre(machine.cpu_ids[worker]));
  }
  std::thread([&] {
    pool.PinCaller();
    EXPECT_THAT(UsableCpuIds(), ElementsAre(machine.cpu_ids[0]));
  }).join();
}

TEST(ThreadPoolPinningTest, NobodyIsPinnedWhenThereAreMoreThreadsThanCpus) {
  const std::vector<int32_t> free = UsableCpuIds();
  ThreadPool pool(2, {.cpu_ids = {free.front()}, .num_cores = 1, .quota = {}});
  RunInAllThreads(pool, [&](int32_t /*worker*/) { EXPECT_EQ(UsableCpuIds(), free); });
  pool.PinCaller();
  EXPECT_EQ(UsableCpuIds(), free);
}

TEST(ThreadPoolPinningTest, GoesOnWhereThereIsNoSuchCpu) {
  const std::vector<int32_t> free = UsableCpuIds();
  ThreadPool pool(2, {.cpu_ids = {8000, 8001}, .num_cores = 2, .quota = {}});
  RunInAllThreads(pool, [&](int32_t /*worker*/) { EXPECT_EQ(UsableCpuIds(), free); });
}

TEST(ThreadPoolOfThisMachineTest, AsManyThreadsAsAskedForOrOneForEachCore) {
  EXPECT_EQ(ThreadPool::OfThisMachine(3).num_threads(), 3);
  EXPECT_EQ(ThreadPool::OfThisMachine(0).num_threads(), DefaultNumThreads(ReadCpuAllotment()));
}

}  // namespace
}  // namespace hadal
