#include "kernels/sample/race.h"

#include <bit>
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
constexpr uint64_t kSeed = 42;

// Weights of logits, with the maxima that they read.
struct Weighed {
  explicit Weighed(std::vector<float> values)
      : logits(std::move(values)),
        strip_highest(NumStrips(logits.size())),
        weights(logits.size(), memory) {
    for (size_t strip = 0; strip < strip_highest.size(); ++strip) {
      strip_highest[strip] = HighestOf(StripOf(std::span<const float>(logits), strip));
    }
    Reset();
  }
  void Reset() {
    weights.Reset({.logits = logits, .strip_highest = strip_highest, .temperature = 0.8F});
  }

  std::vector<float> logits;
  std::vector<float> strip_highest;
  ScratchArena memory = ScratchArena(CpuDevice());
  TokenWeights weights;
};

// How far the share of `samples` below each of some bounds is from that of the exponential
// distribution, in standard deviations of it.
double WorstDeviation(const std::vector<double>& samples) {
  double worst = 0;
  for (const double bound : {0.001, 0.01, 0.1, 0.3, 0.7, 1.0, 2.0, 3.0, 5.0}) {
    const double expected = 1 - std::exp(-bound);
    double share = 0;
    for (const double sample : samples) {
      share += sample < bound ? 1.0 / static_cast<double>(samples.size()) : 0;
    }
    const double deviation =
        std::sqrt(expected * (1 - expected) / static_cast<double>(samples.size()));
    worst = std::max(worst, std::abs(share - expected) / deviation);
  }
  return worst;
}

TEST(RaceTest, NoiseIsExponential) {
  std::vector<double> along_positions;
  std::vector<double> along_tokens;
  std::vector<double> along_seeds;
  for (int32_t i = 0; i < 100'000; ++i) {
    along_positions.push_back(NoiseAt(kSeed, i, 7));
    along_tokens.push_back(NoiseAt(kSeed, 3, i));
    along_seeds.push_back(NoiseAt(static_cast<uint64_t>(i), 3, 7));
  }
  EXPECT_LT(WorstDeviation(along_positions), 4);
  EXPECT_LT(WorstDeviation(along_tokens), 4);
  EXPECT_LT(WorstDeviation(along_seeds), 4);
}

// Of one strip and of several: the least of k has k times the rate, and who has it is uniform.
TEST(RaceTest, NoiseOfTokensIsIndependent) {
  constexpr int kDraws = 50'000;
  const std::vector<std::vector<TokenId>> groups = {
      {0, 1}, {5, 69}, {0, 1, 2, 3}, {63, 64, 127, 128}, {10, 20, 30, 74, 84, 94, 200, 300}};
  for (const std::vector<TokenId>& tokens : groups) {
    const auto size = static_cast<double>(tokens.size());
    std::vector<double> least(kDraws, std::numeric_limits<double>::max());
    std::vector<double> sums(kDraws);
    std::vector<double> wins(tokens.size());
    for (size_t draw = 0; draw < kDraws; ++draw) {
      size_t winner = 0;
      for (size_t i = 0; i < tokens.size(); ++i) {
        const double noise = NoiseAt(kSeed, static_cast<int64_t>(draw), tokens[i]);
        winner = noise * size < least[draw] ? i : winner;
        least[draw] = std::min(least[draw], noise * size);
        sums[draw] += noise;
      }
      wins[winner] += 1;
    }
    EXPECT_LT(WorstDeviation(least), 4);
    double variance = 0;  // of a sum: as many as there are terms when none depends on another
    for (const double sum : sums) {
      variance += (sum - size) * (sum - size) / kDraws;
    }
    EXPECT_NEAR(variance, size, 5 * size * std::sqrt((2 + 6 / size) / kDraws));
    for (const double count : wins) {
      EXPECT_NEAR(count, kDraws / size, 4 * std::sqrt(kDraws / size));
    }
  }
}

TEST(RaceTest, EachTokenWinsItsShare) {
  constexpr int kDraws = 200'000;
  std::vector<float> logits(150);
  for (size_t i = 0; i < logits.size(); ++i) {
    logits[i] = static_cast<float>(i % 7) * 0.4F - (i >= 128 ? 1.0F : 0.0F);
  }
  Weighed race(logits);
  std::vector<double> weights;
  double total = 0;
  for (size_t strip = 0; strip < race.weights.num_strips(); ++strip) {
    for (const float weight : race.weights.Strip(strip)) {
      weights.push_back(weight);
      total += weight;
    }
  }
  std::vector<int> wins(logits.size());
  for (int64_t position = 0; position < kDraws; ++position) {
    race.Reset();
    ++wins[static_cast<size_t>(WinnerAt(kSeed, position, race.weights))];
  }
  double chi_square = 0;
  for (size_t i = 0; i < wins.size(); ++i) {
    const double expected = kDraws * weights[i] / total;
    chi_square += (wins[i] - expected) * (wins[i] - expected) / expected;
  }
  const auto freedom = static_cast<double>(wins.size() - 1);
  EXPECT_NEAR(chi_square, freedom, 4 * std::sqrt(2 * freedom));
}

// What is known to be late without a closer look is late.
TEST(RaceTest, WinnerIsTheFirstOfAll) {
  std::mt19937 random(1);
  for (const size_t size : {1, 2, 63, 64, 65, 200, 3000}) {
    for (const float spread : {0.0F, 1.0F, 4.0F, 12.0F, 40.0F}) {
      std::vector<float> logits(size);
      for (float& logit : logits) {
        logit = std::normal_distribution<float>(0, 1)(random) * spread;
        logit = random() % 50 == 0 ? -kInfinity : random() % 50 == 0 ? kNan : logit;
      }
      logits[random() % size] = spread;
      Weighed race(logits);
      for (int64_t position = 0; position < 40; ++position) {
        race.Reset();
        if (position % 2 == 1) {
          race.weights.KeepTopP(0.8F);
        }
        const TokenId winner = WinnerAt(kSeed, position, race.weights);
        TokenId expected = 0;
        double first = std::numeric_limits<double>::infinity();
        for (size_t i = 0; i < size; ++i) {
          const size_t strip = i / kStripTokens;
          const double weight =
              race.weights.Heaviest(strip) == 0 ? 0 : race.weights.Strip(strip)[i % kStripTokens];
          const auto token = static_cast<TokenId>(i);
          if (weight > 0 && NoiseAt(kSeed, position, token) / weight < first) {
            first = NoiseAt(kSeed, position, token) / weight;
            expected = token;
          }
        }
        EXPECT_EQ(winner, expected) << size << " tokens, spread " << spread;
      }
    }
  }
}

// On every CPU, and from release to release: a seed is a promise.
TEST(RaceTest, BitsAreKnown) {
  EXPECT_EQ(std::bit_cast<uint64_t>(NoiseAt(0, 0, 0)), 0x40000EF0CAAC675AU);
  EXPECT_EQ(std::bit_cast<uint64_t>(NoiseAt(7, 100'000, 129'279)), 0x3FF2C45F36C9396EU);
  EXPECT_EQ(std::bit_cast<uint64_t>(NoiseAt(~0ULL, 1, 64)), 0x3FE0551993919239U);
}

}  // namespace
}  // namespace hadal
