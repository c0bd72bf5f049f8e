#include "kernels/sample/token_weights.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/sample/strips.h"

namespace hadal {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

struct Cuts {
  float temperature = 1;
  int32_t top_k = 0;
  float top_p = 1;
  float min_p = 0;
};

std::vector<float> Weights(size_t vocab_size, TokenWeights& weights) {
  std::vector<float> all(vocab_size);
  for (size_t strip = 0; strip < weights.num_strips(); ++strip) {
    if (weights.Heaviest(strip) > 0) {
      const std::span<const float> kept = weights.Strip(strip);
      EXPECT_LE(HighestOf(kept), weights.Heaviest(strip));
      std::copy(kept.begin(), kept.end(), StripOf(std::span(all), strip).begin());
    }
  }
  return all;
}

std::vector<float> Cut(const std::vector<float>& logits, const Cuts& cuts, TokenWeights& weights) {
  std::vector<float> strip_highest(NumStrips(logits.size()));
  for (size_t strip = 0; strip < strip_highest.size(); ++strip) {
    strip_highest[strip] = HighestOf(StripOf(std::span(logits), strip));
  }
  weights.Reset(
      {.logits = logits, .strip_highest = strip_highest, .temperature = cuts.temperature});
  weights.KeepTopK(cuts.top_k);
  weights.KeepTopP(cuts.top_p);
  weights.KeepMinP(cuts.min_p);
  return Weights(logits.size(), weights);
}

// The definition, with masses in whole units: tokens in order, the heaviest first and lower ids
// first among equals.
std::vector<float> CutBySorting(const std::vector<float>& weights, const Cuts& cuts) {
  std::vector<size_t> order(weights.size());
  for (size_t i = 0; i < order.size(); ++i) {
    order[i] = i;
  }
  std::stable_sort(
      order.begin(), order.end(), [&](size_t a, size_t b) { return weights[a] > weights[b]; });
  if (cuts.top_k > 0) {
    order.resize(std::min(order.size(), static_cast<size_t>(cuts.top_k)));
  }
  const auto mass_of = [](float weight) { return std::nearbyint(double{weight} * 0x1p35); };
  double total = 0;
  for (const size_t token : order) {
    total += mass_of(weights[token]);
  }
  std::vector<float> kept(weights.size());
  double mass = 0;
  for (const size_t token : order) {
    if (cuts.top_p < 1 && mass >= double{cuts.top_p} * total) {
      break;
    }
    mass += mass_of(weights[token]);
    kept[token] = weights[token] >= cuts.min_p ? weights[token] : 0;
  }
  return kept;
}

std::vector<float> MakeLogits(size_t size, float spread, int num_values, std::mt19937& random) {
  std::vector<float> logits(size);
  for (float& logit : logits) {
    logit = std::normal_distribution<float>(0, 1)(random);
    if (num_values > 0) {
      logit = std::round(logit * static_cast<float>(num_values));
    }
    logit *= spread;
    logit = random() % 40 == 0 ? -kInfinity : random() % 40 == 0 ? kNan : logit;
  }
  logits[random() % size] = spread;
  return logits;
}

class TokenWeightsTest : public testing::Test {
 protected:
  TokenWeights WeightsOf(size_t vocab_size) { return {vocab_size, memory_}; }

  ScratchArena memory_ = ScratchArena(CpuDevice());
};

TEST_F(TokenWeightsTest, AreThoseOfSoftmax) {
  std::mt19937 random(1);
  const std::vector<float> logits = MakeLogits(1000, 3, 0, random);
  TokenWeights weights = WeightsOf(logits.size());
  const float highest = HighestOf(logits);
  const std::vector<float> all = Cut(logits, {.temperature = 0.6F}, weights);
  for (size_t i = 0; i < logits.size(); ++i) {
    const double expected =
        std::isnan(logits[i]) ? 0 : std::exp(double{logits[i] - highest} / double{0.6F});
    EXPECT_NEAR(all[i], expected, 1e-5 * expected);
  }
  EXPECT_EQ(all[std::find(logits.begin(), logits.end(), highest) - logits.begin()], 1);
}

// One object serves all, each time as if it were new.
TEST_F(TokenWeightsTest, CutsAreThoseOfSortedTokens) {
  std::mt19937 random(2);
  std::vector<int32_t> top_ks = {0, 1, 2, 3, 40, 64, 65, 500, 100'000};
  for (const size_t size : {1, 5, 64, 65, 1000, 5000}) {
    TokenWeights weights = WeightsOf(size);
    for (const float spread : {0.0F, 0.01F, 1.0F, 5.0F, 60.0F}) {
      for (const int num_values : {0, 1, 4}) {
        const std::vector<float> logits = MakeLogits(size, spread, num_values, random);
        const std::vector<float> all = Cut(logits, {}, weights);
        for (const int32_t top_k : top_ks) {
          for (const float top_p : {1e-6F, 0.3F, 0.913F, 0.99F, 0.99999994F, 1.0F}) {
            const Cuts cuts = {
                .top_k = top_k, .top_p = top_p, .min_p = random() % 2 == 0 ? 0.0F : 0.07F};
            ASSERT_EQ(Cut(logits, cuts, weights), CutBySorting(all, cuts))
                << size << " tokens, spread " << spread << ", " << num_values << " values, top_k "
                << top_k << ", top_p " << top_p << ", min_p " << cuts.min_p;
          }
        }
      }
    }
  }
}

TEST_F(TokenWeightsTest, LowerIdsStayAmongEquals) {
  const std::vector<float> logits(256, 2);
  TokenWeights weights = WeightsOf(logits.size());
  const auto num_kept = [&](const Cuts& cuts) {
    const std::vector<float> kept = Cut(logits, cuts, weights);
    const auto end = std::find(kept.begin(), kept.end(), 0);
    EXPECT_EQ(std::count(end, kept.end(), 0), kept.end() - end);
    return end - kept.begin();
  };
  EXPECT_EQ(num_kept({.top_k = 3}), 3);
  EXPECT_EQ(num_kept({.top_k = 100}), 100);
  EXPECT_EQ(num_kept({.top_p = 0.5F}), 128);
  EXPECT_EQ(num_kept({.top_k = 100, .top_p = 0.25F}), 25);
  EXPECT_EQ(num_kept({.top_p = 0.501F}), 129);
  EXPECT_EQ(num_kept({.min_p = 1}), 256);
}

TEST_F(TokenWeightsTest, AnyTemperatureLeavesTheBest) {
  const std::vector<float> logits = {-3, 5, 4.9F, -1e30F};
  TokenWeights weights = WeightsOf(logits.size());
  for (const float temperature : {1e-45F, 1e-38F, 1e-6F}) {
    const Cuts cuts = {.temperature = temperature, .top_p = 0.9F};
    EXPECT_EQ(Cut(logits, cuts, weights), (std::vector<float>{0, 1, 0, 0}));
  }
  EXPECT_EQ(Cut({1, 2, 3, 4}, {.temperature = std::numeric_limits<float>::max()}, weights),
            (std::vector<float>{1, 1, 1, 1}));
}

}  // namespace
}  // namespace hadal
