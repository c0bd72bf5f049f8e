#include "scheduler/waiting_queue.h"

#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/scheduler/request_maker.h"

namespace hadal::test {
namespace {

using std::chrono::seconds;

class WaitingQueueTest : public testing::Test {
 protected:
  struct Spec {
    int64_t num_prompt_tokens = 90;
    int64_t max_new_tokens = 10;
    int32_t priority = 0;
    int32_t tenant = 0;
    seconds latest_start{100};
  };

  LiveRequest& Push(const Spec& spec) {
    Request request = MakeRequest(
        static_cast<int64_t>(requests_.size()), spec.num_prompt_tokens, spec.max_new_tokens);
    request.priority = spec.priority;
    request.tenant = TenantId{spec.tenant};
    requests_.push_back(MakeLive(std::move(request)));
    LiveRequest& live = *requests_.back();
    live.arrival = now_;
    live.arrival_number = std::ssize(requests_);
    live.latest_start = TimePoint(spec.latest_start);
    queue_.Push(live);
    queue_.CheckInvariants();
    return live;
  }

  LiveRequest* PopNext() {
    LiveRequest* next = queue_.Next(now_);
    if (next != nullptr) {
      EXPECT_EQ(queue_.Next(now_), next);
      queue_.Pop(*next);
      queue_.CheckInvariants();
    }
    return next;
  }

  TimePoint now_{};
  std::vector<std::unique_ptr<LiveRequest>> requests_;
  WaitingQueue queue_{{.fairness_quantum_tokens = 100, .starvation_age = seconds(30)}};
};

TEST_F(WaitingQueueTest, CountsRequestsAndTokens) {
  EXPECT_EQ(queue_.Next(now_), nullptr);
  LiveRequest& a = Push({.num_prompt_tokens = 5});
  Push({.num_prompt_tokens = 7});
  EXPECT_EQ(queue_.size(), 2);
  EXPECT_EQ(queue_.num_tokens(), 12);
  queue_.Remove(a);
  EXPECT_EQ(queue_.size(), 1);
  EXPECT_EQ(queue_.num_tokens(), 7);
}

TEST_F(WaitingQueueTest, PriorityThenLatestStartThenArrival) {
  LiveRequest& low = Push({.priority = 1, .latest_start = seconds(1)});
  LiveRequest& relaxed = Push({.latest_start = seconds(50)});
  LiveRequest& urgent = Push({.latest_start = seconds(10)});
  LiveRequest& urgent_too = Push({.latest_start = seconds(10)});
  EXPECT_EQ(PopNext(), &urgent);
  EXPECT_EQ(PopNext(), &urgent_too);
  EXPECT_EQ(PopNext(), &relaxed);
  EXPECT_EQ(PopNext(), &low);
  EXPECT_EQ(PopNext(), nullptr);
}

TEST_F(WaitingQueueTest, TenantsShareTokensNotRequests) {
  // One tenant asks for 100 tokens at a time, the other for 1000; the first came much earlier.
  for (int i = 0; i < 200; ++i) {
    Push({.tenant = 1});
  }
  for (int i = 0; i < 20; ++i) {
    Push({.num_prompt_tokens = 900, .max_new_tokens = 100, .tenant = 2});
  }
  std::map<TenantId, int64_t> tokens;
  for (int i = 0; i < 110; ++i) {
    LiveRequest* next = PopNext();
    tokens[next->request.tenant] += next->max_cost_tokens();
    // Deficit round-robin: never further apart than a quantum and the largest request.
    EXPECT_LE(std::abs(tokens[TenantId{1}] - tokens[TenantId{2}]), 100 + 1000);
  }
}

TEST_F(WaitingQueueTest, ATenantWithoutRequestsSavesNoClaim) {
  for (int i = 0; i < 50; ++i) {
    Push({.tenant = 1});
    EXPECT_EQ(PopNext()->request.tenant, TenantId{1});
  }
  for (int i = 0; i < 10; ++i) {
    Push({.tenant = 1});
    Push({.tenant = 2});
  }
  int64_t ahead = 0;
  for (int i = 0; i < 20; ++i) {
    ahead += PopNext()->request.tenant == TenantId{1} ? 1 : -1;
    EXPECT_LE(std::abs(ahead), 2);
  }
}

TEST_F(WaitingQueueTest, HugeRequestsDoNotMakeChoosingLong) {
  // Millions of rounds of 100 tokens would be needed one by one.
  LiveRequest& huge = Push({.max_new_tokens = int64_t{1} << 22U});
  LiveRequest& larger = Push({.max_new_tokens = int64_t{1} << 23U, .tenant = 2});
  EXPECT_EQ(PopNext(), &huge);
  EXPECT_EQ(PopNext(), &larger);
}

TEST_F(WaitingQueueTest, TheOldestComesFirstWhenItIsOfAge) {
  LiveRequest& starving = Push({.priority = 9, .latest_start = seconds(999)});
  now_ += seconds(10);
  LiveRequest& second = Push({.priority = 8});
  now_ += seconds(19);
  LiveRequest& fresh = Push({});
  EXPECT_EQ(queue_.Next(now_), &fresh);
  EXPECT_FALSE(starving.aged);
  now_ += seconds(1);
  EXPECT_EQ(PopNext(), &starving);
  EXPECT_TRUE(starving.aged);
  EXPECT_EQ(queue_.Next(now_), &fresh);
  now_ += seconds(10);
  EXPECT_EQ(PopNext(), &second);
  EXPECT_EQ(PopNext(), &fresh);
}

}  // namespace
}  // namespace hadal::test
