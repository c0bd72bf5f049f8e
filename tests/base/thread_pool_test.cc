#include "base/thread_pool.h"

#include <atomic>
#include <vector>

#include <gtest/gtest.h>

namespace hadal {
namespace {

class ThreadPoolTest : public testing::TestWithParam<int32_t> {};

TEST_P(ThreadPoolTest, EveryItemRunsOnceAndIsVisibleAfterwards) {
  ThreadPool pool(GetParam());
  for (const int64_t num_items : {0, 1, 2, 7, 1000}) {
    for (const int64_t grain : {1, 3, 2000}) {
      std::vector<int> runs(static_cast<size_t>(num_items), 0);
      pool.ParallelFor(num_items, grain, [&](int64_t begin, int64_t end, int32_t worker) {
        EXPECT_TRUE(worker >= 0 && worker < pool.num_threads());
        EXPECT_LE(end - begin, grain);
        for (int64_t i = begin; i < end; ++i) {
          ++runs[static_cast<size_t>(i)];
        }
      });
      EXPECT_EQ(runs, std::vector<int>(static_cast<size_t>(num_items), 1));
    }
  }
}

TEST_P(ThreadPoolTest, ManyShortLoops) {
  ThreadPool pool(GetParam());
  int64_t expected = 0;
  std::atomic<int64_t> sum = 0;
  for (int64_t loop = 0; loop < 2000; ++loop) {
    pool.ParallelFor(
        4, 1, [&sum](int64_t begin, int64_t /*end*/, int32_t /*worker*/) { sum += begin; });
    expected += 6;
  }
  EXPECT_EQ(sum, expected);
}

INSTANTIATE_TEST_SUITE_P(Threads, ThreadPoolTest, testing::Values(1, 2, 5));

TEST(ThreadPoolCpusTest, AtLeastOne) {
  EXPECT_GE(NumUsableCpus(), 1);
}

}  // namespace
}  // namespace hadal
