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

// Where the chosen token will stand.
int64_t PositionOf(const Sampler::Args& args) {
  return std::ssize(args.tokens) + std::ssize(args.drafts);
}

// Whether the sequence is still too short to end.
bool IsTooShort(const Sampler::Args& args) {
  return PositionOf(args) - args.num_prompt_tokens < args.params.min_tokens &&
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

uint64_t PlaceKey(uint64_t seed, int64_t position) {
  return SplitMix64(SplitMix64(seed) ^ static_cast<uint64_t>(position));
}

double UniformOf(uint64_t place_key, TokenId token) {
  const uint64_t bits = SplitMix64(place_key ^ static_cast<uint64_t>(token));
  return static_cast<double>((bits >> 11U) + 1) * 0x1p-53;
}

}  // namespace

double UniformAt(uint64_t seed, int64_t position, TokenId token) {
  return UniformOf(PlaceKey(seed, position), token);
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
    return Internal("the model's logits at position %d are not finite", PositionOf(args));
  }
  sampled.logprob = 0;
  sampled.top_logprobs.clear();
  const bool changes = !params.logit_bias.empty() || HasPenalties(params) || IsTooShort(args);
  std::span<const float> model_logits = args.logits;
  double log_sum = 0;
  if (args.num_logprobs >= 0) {
    log_sum = LogSumExp(model_logits);
    TopLogprobs(model_logits, args.num_logprobs, log_sum, sampled.top_logprobs);
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
  if (args.num_logprobs >= 0) {
    const float logit = model_logits[static_cast<size_t>(sampled.token)];
    sampled.logprob = static_cast<float>(double{logit} - log_sum);
  }
  return absl::OkStatus();
}

// Each distinct token once, however often it stands there. What was counted is set back token by
// token: the vocabulary is longer than most sequences.
void Sampler::ApplyPenalties(const Args& args) {
  const SamplingParams& params = args.params;
  CHECK(args.num_prompt_tokens >= 0 && args.num_prompt_tokens <= std::ssize(args.tokens));
  const auto generated = args.tokens.subspan(static_cast<size_t>(args.num_prompt_tokens));
  const auto penalised = params.repetition_penalty == 1 ? generated : args.tokens;
  for (const auto tokens : {generated, args.drafts}) {
    for (const TokenId token : tokens) {
      ++counts_[static_cast<size_t>(token)];
    }
  }
  for (const auto tokens : {penalised, args.drafts}) {
    for (const TokenId token : tokens) {
      Penalise(params, token, args.logits);
    }
  }
  for (const auto tokens : {penalised, args.drafts}) {
    for (const TokenId token : tokens) {
      counts_[static_cast<size_t>(token)] = 0;
    }
  }
}

void Sampler::Penalise(const SamplingParams& params, TokenId token, std::span<float> logits) {
  constexpr int32_t kApplied = -1;
  int32_t& num_generated = counts_[static_cast<size_t>(token)];
  if (num_generated == kApplied) {
    return;
  }
  float& logit = logits[static_cast<size_t>(token)];
  if (std::isfinite(logit)) {
    logit = Repeat(logit, params.repetition_penalty);
  }
  if (num_generated > 0) {
    logit -= params.frequency_penalty * static_cast<float>(num_generated);
    logit -= params.presence_penalty;
  }
  num_generated = kApplied;
}

absl::Status Sampler::HoldBackEnd(const Args& args) {
  for (const TokenId token : args.params.ending_token_ids) {
    args.logits[static_cast<size_t>(token)] = kImpossible;
  }
  if (!std::isfinite(HighestLogit(args.logits))) {
    return Internal(
        "the model's logits at position %d are finite for tokens alone that may not "
        "be chosen yet",
        PositionOf(args));
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
  return Draw(params.seed, PositionOf(args));
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

// REQUIRES: there is a candidate. The lower id among equals, so that the draw does not depend on
// how cuts left them. Since -log(u) >= 1 - u, most tokens are known to be late without a logarithm.
TokenId Sampler::Draw(uint64_t seed, int64_t position) const {
  const uint64_t key = PlaceKey(seed, position);
  TokenId first = candidates_.front().token;
  double first_arrival = std::numeric_limits<double>::infinity();
  for (const auto& [token, weight] : candidates_) {
    const double uniform = UniformOf(key, token);
    if (weight <= 0 || 1 - uniform > first_arrival * double{weight}) {
      continue;
    }
    const double arrival = -std::log(uniform) / double{weight};
    if (arrival < first_arrival || (arrival == first_arrival && token < first)) {
      first = token;
      first_arrival = arrival;
    }
  }
  return first;
}

}  // namespace hadal
