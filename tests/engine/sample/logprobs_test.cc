#include "engine/sample/logprobs.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace hadal {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

TEST(LogprobsTest, LogSumExpIsClose) {
  std::mt19937 random(1);
  for (const size_t size : {1, 63, 64, 65, 1000, 20'000}) {
    for (const float spread : {0.0F, 1.0F, 10.0F, 100.0F}) {
      std::vector<float> logits(size);
      for (float& logit : logits) {
        logit = 20 + std::normal_distribution<float>(0, 1)(random) * spread;
      }
      const double highest = *std::max_element(logits.begin(), logits.end());
      double sum = 0;
      for (const float logit : logits) {
        sum += std::exp(double{logit} - highest);
      }
      EXPECT_NEAR(LogSumExp(logits), highest + std::log(sum), 1e-6);
    }
  }
}

TEST(LogprobsTest, LogSumExpOfWhatIsNotFinite) {
  EXPECT_EQ(LogSumExp(std::vector<float>{kNan, 2, -kInfinity}), 2);
  EXPECT_EQ(LogSumExp(std::vector<float>{kNan, -kInfinity}), -kInfinity);
  EXPECT_EQ(LogSumExp(std::vector<float>{kInfinity, 2}), kInfinity);
}

// Few values, so that many are equal: of these the lower ids come first.
TEST(LogprobsTest, TopLogprobsAreThoseOfSortedTokens) {
  std::mt19937 random(2);
  for (const int num_values : {1, 3, 30, 1'000'000}) {
    std::vector<float> logits(700);
    for (float& logit : logits) {
      logit = static_cast<float>(static_cast<int>(random()) % num_values) * 0.125F;
      logit = random() % 20 == 0 ? -kInfinity : random() % 20 == 0 ? kNan : logit;
    }
    std::vector<TokenLogprob> sorted;
    for (size_t i = 0; i < logits.size(); ++i) {
      if (logits[i] > -kInfinity) {
        sorted.push_back({static_cast<TokenId>(i), logits[i]});
      }
    }
    std::stable_sort(
        sorted.begin(), sorted.end(), [](const TokenLogprob& a, const TokenLogprob& b) {
          return a.logprob > b.logprob;
        });
    std::vector<TokenLogprob> top;
    for (const int64_t count : {0, 1, 2, 5, 63, 64, 65, 300, 700, 1000}) {
      TopLogprobs(logits, count, 0.5, top);
      ASSERT_EQ(top.size(), std::min(sorted.size(), static_cast<size_t>(count)));
      for (size_t i = 0; i < top.size(); ++i) {
        ASSERT_EQ(top[i].token, sorted[i].token) << i << " of " << count;
        ASSERT_EQ(top[i].logprob, sorted[i].logprob - 0.5F);
      }
    }
  }
}

}  // namespace
}  // namespace hadal
