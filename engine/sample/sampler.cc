#include "engine/sample/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "engine/sample/logprobs.h"

namespace hadal {
namespace {

constexpr float kImpossible = -std::numeric_limits<float>::infinity();

struct Candidate {
  TokenId token;
  float value;  // logit, then probability up to a common factor
};

bool Better(const Candidate& a, const Candidate& b) {
  return a.value != b.value ? a.value > b.value : a.token < b.token;
}

void ApplyBiasAndPenalties(const SamplingParams& params,
                           const TokenCounts& counts,
                           std::span<float> logits) {
  for (const auto& [token, bias] : params.logit_bias) {
    logits[static_cast<size_t>(token)] += bias;
  }
  if (params.repetition_penalty == 1 && params.frequency_penalty == 0 &&
      params.presence_penalty == 0) {
    return;
  }
  for (const auto& [token, count] : counts.counts()) {
    float& logit = logits[static_cast<size_t>(token)];
    logit = logit > 0 ? logit / params.repetition_penalty : logit * params.repetition_penalty;
    if (count.generated > 0) {
      logit -= params.frequency_penalty * static_cast<float>(count.generated);
      logit -= params.presence_penalty;
    }
  }
}

// Every possible token with exp((logit - highest) / temperature), in order of id. The best has 1.
std::vector<Candidate> Candidates(float temperature, std::span<const float> logits) {
  std::vector<Candidate> candidates;
  float highest = kImpossible;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] > kImpossible) {
      candidates.push_back({static_cast<TokenId>(i), logits[i]});
      highest = std::max(highest, logits[i]);
    }
  }
  for (Candidate& candidate : candidates) {
    candidate.value = std::exp((candidate.value - highest) / temperature);
  }
  return candidates;
}

void KeepTopK(int32_t top_k, std::vector<Candidate>& candidates) {
  if (top_k > 0 && top_k < std::ssize(candidates)) {
    std::nth_element(candidates.begin(), candidates.begin() + top_k, candidates.end(), Better);
    candidates.resize(static_cast<size_t>(top_k));
  }
}

// A heap gives candidates up in falling order, so that a cut which keeps few sorts few.
void KeepTopP(float top_p, std::vector<Candidate>& candidates) {
  if (top_p >= 1) {
    return;
  }
  double total = 0;
  for (const Candidate& candidate : candidates) {
    total += candidate.value;
  }
  const auto worse = [](const Candidate& a, const Candidate& b) { return Better(b, a); };
  std::make_heap(candidates.begin(), candidates.end(), worse);
  auto heap_end = candidates.end();
  double mass = 0;
  while (mass < double{top_p} * total && heap_end != candidates.begin()) {
    std::pop_heap(candidates.begin(), heap_end, worse);
    --heap_end;
    mass += heap_end->value;
  }
  candidates.erase(candidates.begin(), heap_end);
}

void KeepMinP(float min_p, std::vector<Candidate>& candidates) {
  std::erase_if(candidates, [min_p](const Candidate& c) { return c.value < min_p; });
}

// REQUIRES: candidates is not empty. Sorted first, so that the draw does not depend on how cuts
// left them.
TokenId Draw(std::vector<Candidate>& candidates, double uniform) {
  std::sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
    return a.token < b.token;
  });
  double total = 0;
  for (const Candidate& candidate : candidates) {
    total += candidate.value;
  }
  double left = uniform * total;
  for (const Candidate& candidate : candidates) {
    left -= candidate.value;
    if (left < 0) {
      return candidate.token;
    }
  }
  return candidates.back().token;  // rounding: the subtractions did not quite use up the total
}

uint64_t SplitMix64(uint64_t x) {
  x += 0x9E3779B97F4A7C15ULL;
  x = (x ^ (x >> 30U)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27U)) * 0x94D049BB133111EBULL;
  return x ^ (x >> 31U);
}

}  // namespace

double UniformAt(uint64_t seed, int64_t position) {
  const uint64_t bits = SplitMix64(SplitMix64(seed) ^ static_cast<uint64_t>(position));
  return static_cast<double>(bits >> 11U) * 0x1p-53;
}

absl::StatusOr<SampledToken> Sample(const SamplingParams& params,
                                    const TokenCounts& counts,
                                    int64_t position,
                                    std::span<float> logits) {
  const double log_sum = LogSumExp(logits);
  if (!std::isfinite(log_sum)) {
    return Internal("the model's logits at position %d are not finite", position);
  }
  SampledToken sampled;
  if (params.num_logprobs > 0) {
    sampled.top_logprobs = TopLogprobs(logits, params.num_logprobs);
  }
  const std::vector<float> original = params.num_logprobs >= 0
                                          ? std::vector<float>(logits.begin(), logits.end())
                                          : std::vector<float>();
  ApplyBiasAndPenalties(params, counts, logits);
  if (params.temperature == 0) {
    Candidate best = {0, kImpossible};
    for (size_t i = 0; i < logits.size(); ++i) {
      if (logits[i] > best.value) {
        best = {static_cast<TokenId>(i), logits[i]};
      }
    }
    sampled.token = best.token;
  } else {
    std::vector<Candidate> candidates = Candidates(params.temperature, logits);
    KeepTopK(params.top_k, candidates);
    KeepTopP(params.top_p, candidates);
    KeepMinP(params.min_p, candidates);
    sampled.token = Draw(candidates, UniformAt(params.seed, position));
  }
  if (params.num_logprobs >= 0) {
    const float logit = original[static_cast<size_t>(sampled.token)];
    sampled.logprob = static_cast<float>(double{logit} - log_sum);
  }
  return sampled;
}

}  // namespace hadal
