#include "engine/sample/race.h"

#include <limits>

#include "engine/sample/portable_math.h"
#include "engine/sample/strips.h"

namespace hadal {
namespace {

// Rounding moves an arrival by less than this part of it: who is late by more needs no closer look.
constexpr double kRounding = 1 + 1e-9;

// splitmix64 (Steele et al. 2014, doi 10.1145/2660193.2660195).
uint64_t SplitMix64(uint64_t x) {
  x += 0x9E3779B97F4A7C15ULL;
  x = (x ^ (x >> 30U)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27U)) * 0x94D049BB133111EBULL;
  return x ^ (x >> 31U);
}

// Uniform in (0, 1) of the highest 52 bits: between the 2^52 numbers, so that neither it nor what
// is left to 1 is ever 0.
double UniformOf(uint64_t bits) {
  return (static_cast<double>(bits >> 12U) + 0.5) * 0x1p-52;
}

// The random numbers of a place in a sequence.
class Place {
 public:
  Place(uint64_t seed, int64_t position)
      : token_key_(SplitMix64(SplitMix64(seed) ^ static_cast<uint64_t>(position))),
        strip_key_(SplitMix64(token_key_)) {}

  [[nodiscard]] uint64_t StripBits(size_t strip) const { return SplitMix64(strip_key_ ^ strip); }
  [[nodiscard]] uint64_t TokenBits(size_t token) const { return SplitMix64(token_key_ ^ token); }

 private:
  uint64_t token_key_;
  uint64_t strip_key_;
};

// The least noise of a strip, and which of its tokens has it: bits that the number leaves.
double LeastNoise(uint64_t strip_bits) {
  return -LogOf(UniformOf(strip_bits)) / static_cast<double>(kStripTokens);
}
size_t QuietestToken(uint64_t strip_bits) {
  return strip_bits % kStripTokens;
}

class Race {
 public:
  Race(uint64_t seed, int64_t position) : place_(seed, position) {}

  void RunStrip(size_t strip, TokenWeights& weights);
  [[nodiscard]] TokenId winner() const { return static_cast<TokenId>(winner_); }

 private:
  void Arrive(size_t token, double arrival);

  Place place_;
  size_t winner_ = std::numeric_limits<size_t>::max();
  double first_arrival_ = std::numeric_limits<double>::max();
};

void Race::Arrive(size_t token, double arrival) {
  if (arrival < first_arrival_ || (arrival == first_arrival_ && token < winner_)) {
    winner_ = token;
    first_arrival_ = arrival;
  }
}

// Since -log(u) >= 1 - u, most are known to be late without a logarithm.
void Race::RunStrip(size_t strip, TokenWeights& weights) {
  const uint64_t bits = place_.StripBits(strip);
  const double heaviest = weights.Heaviest(strip);
  const double rest = (1 - UniformOf(bits)) / static_cast<double>(kStripTokens);
  if (heaviest == 0 || rest > first_arrival_ * heaviest * kRounding) {
    return;
  }
  const double least = LeastNoise(bits);
  if (least > first_arrival_ * heaviest * kRounding) {
    return;
  }
  const std::span<const float> strip_weights = weights.Strip(strip);
  for (size_t i = 0; i < strip_weights.size(); ++i) {
    const double weight = strip_weights[i];
    if (weight == 0 || least > first_arrival_ * weight * kRounding) {
      continue;
    }
    const size_t token = strip * kStripTokens + i;
    const double own = i == QuietestToken(bits) ? 0 : -LogOf(UniformOf(place_.TokenBits(token)));
    Arrive(token, (least + own) / weight);
  }
}

}  // namespace

double NoiseAt(uint64_t seed, int64_t position, TokenId token) {
  const Place place(seed, position);
  const auto index = static_cast<size_t>(token);
  const uint64_t strip_bits = place.StripBits(index / kStripTokens);
  const double own = index % kStripTokens == QuietestToken(strip_bits)
                         ? 0
                         : -LogOf(UniformOf(place.TokenBits(index)));
  return LeastNoise(strip_bits) + own;
}

// The strip of the heaviest token goes first: what arrives there is hard to beat.
TokenId WinnerAt(uint64_t seed, int64_t position, TokenWeights& weights) {
  Race race(seed, position);
  const size_t first = weights.HeaviestStrip();
  race.RunStrip(first, weights);
  for (size_t strip = 0; strip < weights.num_strips(); ++strip) {
    if (strip != first) {
      race.RunStrip(strip, weights);
    }
  }
  return race.winner();
}

}  // namespace hadal
