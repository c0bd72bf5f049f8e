#include "kernels/sample/race.h"

#include <limits>

#include "kernels/sample/noise.h"
#include "kernels/sample/portable_math.h"
#include "kernels/sample/strips.h"

namespace hadal {
namespace {

// The least noise of a strip.
double LeastNoise(uint64_t strip_bits) {
  return -LogOf(UniformOf(strip_bits)) / static_cast<double>(kStripTokens);
}

class Race {
 public:
  Race(uint64_t seed, int64_t position) : noise_(seed, position) {}

  void RunStrip(size_t strip, TokenWeights& weights);
  [[nodiscard]] TokenId winner() const { return static_cast<TokenId>(winner_); }

 private:
  void Arrive(size_t token, double arrival);

  NoiseBits noise_;
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
  const uint64_t bits = noise_.OfStrip(strip);
  const double heaviest = weights.Heaviest(strip);
  const double rest = (1 - UniformOf(bits)) / static_cast<double>(kStripTokens);
  if (heaviest == 0 || rest > first_arrival_ * heaviest * kArrivalRounding) {
    return;
  }
  const double least = LeastNoise(bits);
  if (least > first_arrival_ * heaviest * kArrivalRounding) {
    return;
  }
  const std::span<const float> strip_weights = weights.Strip(strip);
  for (size_t i = 0; i < strip_weights.size(); ++i) {
    const double weight = strip_weights[i];
    if (weight == 0 || least > first_arrival_ * weight * kArrivalRounding) {
      continue;
    }
    const size_t token = strip * kStripTokens + i;
    const double own = i == QuietestToken(bits) ? 0 : -LogOf(UniformOf(noise_.OfToken(token)));
    Arrive(token, (least + own) / weight);
  }
}

}  // namespace

double NoiseAt(uint64_t seed, int64_t position, TokenId token) {
  const NoiseBits noise(seed, position);
  const auto index = static_cast<size_t>(token);
  const uint64_t strip_bits = noise.OfStrip(index / kStripTokens);
  const double own = index % kStripTokens == QuietestToken(strip_bits)
                         ? 0
                         : -LogOf(UniformOf(noise.OfToken(index)));
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
