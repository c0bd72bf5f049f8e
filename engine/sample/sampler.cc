#include "engine/sample/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "engine/sample/logprobs.h"

namespace hadal {
namespace {

constexpr float kImpossible = -std::numeric_limits<float>::infinity();

bool HasPenalties(const SamplingParams& params) {
  return params.repetition_penalty != 1 || params.frequency_penalty != 0 ||
         params.presence_penalty != 0;
}

// Whether the sequence is still too short to end.
bool IsTooShort(const Sampler::Args& args) {
  return std::ssize(args.tokens) - args.num_prompt_tokens < args.params.min_tokens &&
         !args.params.ending_token_ids.empty();
}

// A logit with the penalty for standing in the sequence. Stays finite: an extreme penalty must
// leave something to choose.
float Repeat(float logit, float penalty) {
  constexpr float kMost = std::numeric_limits<float>::max();
  return std::clamp(logit > 0 ? logit / penalty : logit * penalty, -kMost, kMost);
}

// REQUIRES: a logit is finite.
TokenId HighestToken(std::span<const float> logits) {
  TokenId best = 0;
  float highest = kImpossible;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] > highest) {
      best = static_cast<TokenId>(i);
      highest = logits[i];
    }
  }
  return best;
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

Sampler::Sampler(int64_t vocab_size)
    : counts_(static_cast<size_t>(vocab_size)), model_logits_(static_cast<size_t>(vocab_size)) {
  candidates_.reserve(static_cast<size_t>(vocab_size));
}

absl::Status Sampler::Sample(const Args& args, SampledToken& sampled) {
  CHECK_EQ(args.logits.size(), counts_.size());
  const SamplingParams& params = args.params;
  // Neither this nor the sum of exponentials is finite when the other is not.
  if (!std::isfinite(HighestLogit(args.logits))) {
    return Internal("the model's logits at position %d are not finite", args.tokens.size());
  }
  sampled.logprob = 0;
  sampled.top_logprobs.clear();
  const bool changes = !params.logit_bias.empty() || HasPenalties(params) || IsTooShort(args);
  std::span<const float> model_logits = args.logits;
  double log_sum = 0;
  if (params.num_logprobs >= 0) {
    log_sum = LogSumExp(model_logits);
    TopLogprobs(model_logits, params.num_logprobs, log_sum, sampled.top_logprobs);
    if (changes) {
      std::copy(args.logits.begin(), args.logits.end(), model_logits_.begin());
      model_logits = model_logits_;
    }
  }
  for (const auto& [token, bias] : params.logit_bias) {
    args.logits[static_cast<size_t>(token)] += bias;
  }
  if (HasPenalties(params)) {
    ApplyPenalties(args);
  }
  if (IsTooShort(args)) {
    RETURN_IF_ERROR(HoldBackEnd(args));
  }
  sampled.token = Choose(args);
  if (params.num_logprobs >= 0) {
    const float logit = model_logits[static_cast<size_t>(sampled.token)];
    sampled.logprob = static_cast<float>(double{logit} - log_sum);
  }
  return absl::OkStatus();
}

// Each distinct token once, however often it stands there. What was counted is set back token by
// token: the vocabulary is longer than most sequences.
void Sampler::ApplyPenalties(const Args& args) {
  constexpr int32_t kApplied = -1;
  const SamplingParams& params = args.params;
  CHECK(args.num_prompt_tokens >= 0 && args.num_prompt_tokens <= std::ssize(args.tokens));
  const auto generated = args.tokens.subspan(static_cast<size_t>(args.num_prompt_tokens));
  for (const TokenId token : generated) {
    ++counts_[static_cast<size_t>(token)];
  }
  const auto penalised = params.repetition_penalty == 1 ? generated : args.tokens;
  for (const TokenId token : penalised) {
    int32_t& num_generated = counts_[static_cast<size_t>(token)];
    if (num_generated == kApplied) {
      continue;
    }
    float& logit = args.logits[static_cast<size_t>(token)];
    if (std::isfinite(logit)) {
      logit = Repeat(logit, params.repetition_penalty);
    }
    if (num_generated > 0) {
      logit -= params.frequency_penalty * static_cast<float>(num_generated);
      logit -= params.presence_penalty;
    }
    num_generated = kApplied;
  }
  for (const TokenId token : penalised) {
    counts_[static_cast<size_t>(token)] = 0;
  }
}

absl::Status Sampler::HoldBackEnd(const Args& args) {
  for (const TokenId token : args.params.ending_token_ids) {
    args.logits[static_cast<size_t>(token)] = kImpossible;
  }
  if (!std::isfinite(HighestLogit(args.logits))) {
    return Internal(
        "the model's logits at position %d are finite for tokens alone that may not "
        "be chosen yet",
        args.tokens.size());
  }
  return absl::OkStatus();
}

TokenId Sampler::Choose(const Args& args) {
  const SamplingParams& params = args.params;
  if (params.temperature == 0) {
    return HighestToken(args.logits);
  }
  CollectCandidates(params.temperature, args.logits);
  KeepTopK(params.top_k);
  KeepTopP(params.top_p);
  KeepMinP(params.min_p);
  return Draw(UniformAt(params.seed, std::ssize(args.tokens)));
}

bool Sampler::Better(const Candidate& a, const Candidate& b) {
  return a.value != b.value ? a.value > b.value : a.token < b.token;
}

// Every possible token with exp((logit - highest) / temperature), in order of id. The best has 1.
void Sampler::CollectCandidates(float temperature, std::span<const float> logits) {
  candidates_.clear();
  float highest = kImpossible;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] > kImpossible) {
      candidates_.push_back({static_cast<TokenId>(i), logits[i]});
      highest = std::max(highest, logits[i]);
    }
  }
  for (Candidate& candidate : candidates_) {
    candidate.value = std::exp((candidate.value - highest) / temperature);
  }
}

void Sampler::KeepTopK(int32_t top_k) {
  if (top_k > 0 && top_k < std::ssize(candidates_)) {
    std::nth_element(candidates_.begin(), candidates_.begin() + top_k, candidates_.end(), Better);
    candidates_.resize(static_cast<size_t>(top_k));
  }
}

// A heap gives candidates up in falling order, so that a cut which keeps few sorts few.
void Sampler::KeepTopP(float top_p) {
  if (top_p >= 1) {
    return;
  }
  double total = 0;
  for (const Candidate& candidate : candidates_) {
    total += candidate.value;
  }
  const auto worse = [](const Candidate& a, const Candidate& b) { return Better(b, a); };
  std::make_heap(candidates_.begin(), candidates_.end(), worse);
  auto heap_end = candidates_.end();
  double mass = 0;
  while (mass < double{top_p} * total && heap_end != candidates_.begin()) {
    std::pop_heap(candidates_.begin(), heap_end, worse);
    --heap_end;
    mass += heap_end->value;
  }
  candidates_.erase(candidates_.begin(), heap_end);
}

void Sampler::KeepMinP(float min_p) {
  std::erase_if(candidates_, [min_p](const Candidate& c) { return c.value < min_p; });
}

// REQUIRES: there is a candidate. In order of id, so that the draw does not depend on how cuts left
// them.
TokenId Sampler::Draw(double uniform) {
  const auto by_id = [](const Candidate& a, const Candidate& b) { return a.token < b.token; };
  if (!std::is_sorted(candidates_.begin(), candidates_.end(), by_id)) {
    std::sort(candidates_.begin(), candidates_.end(), by_id);
  }
  double total = 0;
  for (const Candidate& candidate : candidates_) {
    total += candidate.value;
  }
  double left = uniform * total;
  TokenId last_possible = candidates_.front().token;
  for (const Candidate& candidate : candidates_) {
    left -= candidate.value;
    if (left < 0) {
      return candidate.token;
    }
    if (candidate.value > 0) {
      last_possible = candidate.token;
    }
  }
  return last_possible;  // rounding: the subtractions did not quite use up the total
}

}  // namespace hadal
