#include "base/bounded_queue.h"

#include <memory>
#include <thread>

#include <gtest/gtest.h>

namespace hadal {
namespace {

TEST(BoundedQueueTest, KeepsOrderAndRefusesWhenFull) {
  BoundedQueue<int> queue(2);
  EXPECT_TRUE(queue.TryPush(1));
  EXPECT_TRUE(queue.TryPush(2));
  EXPECT_FALSE(queue.TryPush(3));
  EXPECT_EQ(queue.TryPop(), 1);
  EXPECT_TRUE(queue.TryPush(4));
  EXPECT_EQ(queue.TryPop(), 2);
  EXPECT_EQ(queue.TryPop(), 4);
  EXPECT_EQ(queue.TryPop(), std::nullopt);
}

TEST(BoundedQueueTest, RefusedItemStaysWithTheCaller) {
  BoundedQueue<std::unique_ptr<int>> queue(1);
  ASSERT_TRUE(queue.TryPush(std::make_unique<int>(1)));
  auto second = std::make_unique<int>(2);
  EXPECT_FALSE(queue.TryPush(std::move(second)));
  ASSERT_NE(second, nullptr);  // NOLINT(bugprone-use-after-move): that is the contract
  EXPECT_EQ(*second, 2);
}

TEST(BoundedQueueTest, CloseRefusesPushesDrainsPopsAndWakesWaiters) {
  BoundedQueue<int> queue(4);
  ASSERT_TRUE(queue.TryPush(7));
  queue.Close();
  EXPECT_FALSE(queue.TryPush(8));
  EXPECT_EQ(queue.Pop(absl::InfiniteDuration()), 7);
  EXPECT_EQ(queue.Pop(absl::InfiniteDuration()), std::nullopt);
}

TEST(BoundedQueueTest, PopWaitsForAnotherThread) {
  BoundedQueue<int> queue(1);
  std::thread producer([&queue] {
    for (int i = 0; i < 100; ++i) {
      while (!queue.TryPush(int{i})) {
        std::this_thread::yield();
      }
    }
  });
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(queue.Pop(absl::InfiniteDuration()), i);
  }
  producer.join();
}

}  // namespace
}  // namespace hadal
