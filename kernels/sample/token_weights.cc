#include "kernels/sample/token_weights.h"

#include <algorithm>
#include <array>
#include <bit>
#include <functional>
#include <limits>

#include "base/check.h"
#include "kernels/sample/mass.h"
#include "kernels/sample/portable_math.h"
#include "kernels/sample/strips.h"

namespace hadal {
namespace {

// A weight's bits, which rise with it, in three digits: of 12 (the exponent and 4 bits, of which
// weights up to 1 use fewer), 11 and 8 bits.
constexpr std::array<int, 3> kShifts = {19, 8, 0};
constexpr size_t kNumBuckets = 2048;

constexpr float kLightest = std::numeric_limits<float>::min();

size_t BucketOf(float weight, int shift) {
  return (std::bit_cast<uint32_t>(weight) >> static_cast<unsigned>(shift)) % kNumBuckets;
}

void DropLighter(float least, std::span<float> weights) {
  for (float& weight : weights) {
    weight = weight < least ? 0 : weight;
  }
}

}  // namespace

TokenWeights::TokenWeights(size_t vocab_size, ScratchArena& memory)
    : heaviest_(memory.Allocate<float>(NumStrips(vocab_size)).Row()),
      is_weighed_(memory.Allocate<uint8_t>(heaviest_.size()).Row()),
      weights_(memory.Allocate<float>(vocab_size).Row()),
      tokens_(memory.Allocate<uint32_t>(vocab_size).Row()),
      bucket_sums_(memory.Allocate<BucketSums>(kNumBuckets).Row()),
      strip_scratch_(memory.Allocate<float>(heaviest_.size()).Row()) {}

int64_t TokenWeights::ScratchBytes(int64_t vocab_size) {
  const auto num_strips = static_cast<int64_t>(NumStrips(static_cast<size_t>(vocab_size)));
  return vocab_size * int64_t{sizeof(float) + sizeof(uint32_t)} +
         num_strips * int64_t{2 * sizeof(float) + sizeof(uint8_t)} +
         int64_t{kNumBuckets * sizeof(BucketSums)};
}

void TokenWeights::Reset(const Args& args) {
  CHECK_EQ(args.logits.size(), weights_.size());
  CHECK_EQ(args.strip_highest.size(), heaviest_.size());
  args_ = args;
  highest_ = HighestOf(args.strip_highest);
  const auto best = std::find(args.strip_highest.begin(), args.strip_highest.end(), highest_);
  heaviest_strip_ = static_cast<size_t>(best - args.strip_highest.begin());
  scale_ = ScaleOf(args.temperature);
  least_ = 0;
  ExpBelow(args.strip_highest, highest_, scale_, heaviest_);
  std::fill(is_weighed_.begin(), is_weighed_.end(), uint8_t{0});
}

std::span<const float> TokenWeights::Strip(size_t strip) {
  const std::span<float> weights = StripOf(weights_, strip);
  if (is_weighed_[strip] == 0) {
    ExpBelow(StripOf(args_.logits, strip), highest_, scale_, weights);
    if (least_ > 0) {
      DropLighter(least_, weights);
    }
    is_weighed_[strip] = 1;
  }
  return weights;
}

// As many strips as `top_k` have a token of that weight at least, so all that stay have.
void TokenWeights::KeepTopK(int32_t top_k) {
  const auto count = static_cast<size_t>(top_k);
  if (count == 0 || count >= weights_.size()) {
    return;
  }
  float least = 0;
  if (count <= num_strips()) {
    std::copy(heaviest_.begin(), heaviest_.end(), strip_scratch_.begin());
    const auto nth = strip_scratch_.begin() + (top_k - 1);
    std::nth_element(strip_scratch_.begin(), nth, strip_scratch_.end(), std::greater<>());
    least = *nth;
  }
  Keep(FindCut(Collect(least), Measure::kCount, top_k));
}

// Tokens that all together could not hold the mass that may go are not looked at: none of them has
// more than its share of that, in whole units, so that it weighs less than half a unit above.
void TokenWeights::KeepTopP(float top_p) {
  if (top_p >= 1) {
    return;
  }
  constexpr double kMargin = 0.999;  // far more than this is off
  const int64_t mass = Mass();
  const int64_t target = MassToHold(top_p, mass);
  const double share = static_cast<double>(mass - target) / static_cast<double>(weights_.size());
  const double least = (share - 0.5) * kMassUnit * kMargin;
  Keep(FindCut(Collect(static_cast<float>(least)), Measure::kMass, target));
}

void TokenWeights::KeepMinP(float min_p) {
  if (min_p == 0) {
    return;
  }
  least_ = min_p;
  for (size_t strip = 0; strip < num_strips(); ++strip) {
    if (heaviest_[strip] < min_p) {
      heaviest_[strip] = 0;
    } else if (is_weighed_[strip] != 0) {
      DropLighter(min_p, StripOf(weights_, strip));
    }
  }
}

int64_t TokenWeights::Mass() {
  int64_t mass = 0;
  for (size_t strip = 0; strip < num_strips(); ++strip) {
    if (heaviest_[strip] > 0) {
      for (const float weight : Strip(strip)) {
        mass += MassOf(weight);
      }
    }
  }
  return mass;
}

// The tokens of `least` weight or more, if any, in order of id.
std::span<uint32_t> TokenWeights::Collect(float least) {
  least = std::max(least, kLightest);
  size_t num_tokens = 0;
  for (size_t strip = 0; strip < num_strips(); ++strip) {
    if (heaviest_[strip] < least) {
      continue;
    }
    auto token = static_cast<uint32_t>(strip * kStripTokens);
    for (const float weight : Strip(strip)) {
      tokens_[num_tokens] = token++;
      num_tokens += weight >= least ? 1 : 0;
    }
  }
  return std::span(tokens_).first(num_tokens);
}

// Where what is heavier, and then what is as heavy in order of id, reaches `target`; or the last of
// `tokens` when there are fewer. Digit by digit, as radix sort does, but into the
// one bucket alone in which the target is reached.
TokenWeights::Cut TokenWeights::FindCut(std::span<uint32_t> tokens,
                                        Measure measure,
                                        int64_t target) {
  CHECK(!tokens.empty());
  int64_t above = 0;  // the sum of what is heavier than all of `tokens`
  const auto weigh_same = [this](uint32_t a, uint32_t b) { return weights_[a] == weights_[b]; };
  for (const int shift : kShifts) {
    if (std::equal(tokens.begin() + 1, tokens.end(), tokens.begin(), weigh_same)) {
      break;
    }
    tokens = Refine(tokens, {shift, measure, target}, above);
  }
  const float weight = weights_[tokens[0]];
  const int64_t each = measure == Measure::kCount ? 1 : MassOf(weight);
  CHECK_GT(each, 0);  // where the target is reached, something is added
  const int64_t num_kept =
      std::clamp<int64_t>((target - above + each - 1) / each, 1, std::ssize(tokens));
  return {weight, tokens[static_cast<size_t>(num_kept) - 1]};
}

// Moves to the front of `tokens` those of the bucket in which the target is reached, and adds the
// sum of those in higher buckets to `above`.
std::span<uint32_t> TokenWeights::Refine(std::span<uint32_t> tokens,
                                         const Digit& digit,
                                         int64_t& above) {
  std::fill(bucket_sums_.begin(), bucket_sums_.end(), BucketSums{});
  for (size_t i = 0; i < tokens.size(); ++i) {
    const float weight = weights_[tokens[i]];
    bucket_sums_[BucketOf(weight, digit.shift)][i % kNumSums] +=
        digit.measure == Measure::kCount ? 1 : MassOf(weight);
  }
  int64_t sum = above;
  size_t reached = 0;
  for (size_t bucket = kNumBuckets; bucket-- > 0 && sum < digit.target;) {
    const BucketSums& sums = bucket_sums_[bucket];
    const int64_t bucket_sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    if (bucket_sum > 0) {
      reached = bucket;
      above = sum;
      sum += bucket_sum;
    }
  }
  size_t num_tokens = 0;
  for (const uint32_t token : tokens) {
    tokens[num_tokens] = token;
    num_tokens += BucketOf(weights_[token], digit.shift) == reached ? 1 : 0;
  }
  return tokens.first(num_tokens);
}

void TokenWeights::Keep(const Cut& cut) {
  for (size_t strip = 0; strip < num_strips(); ++strip) {
    if (heaviest_[strip] < cut.weight) {
      heaviest_[strip] = 0;
      continue;
    }
    Strip(strip);
    const std::span<float> weights = StripOf(weights_, strip);
    auto token = static_cast<uint32_t>(strip * kStripTokens);
    for (float& weight : weights) {
      const bool stays = weight > cut.weight || (weight == cut.weight && token <= cut.last_token);
      weight = stays ? weight : 0;
      ++token;
    }
  }
}

}  // namespace hadal
