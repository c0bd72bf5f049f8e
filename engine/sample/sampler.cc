#include "engine/sample/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "engine/sample/logprobs.h"
#include "engine/sample/race.h"
#include "engine/sample/strips.h"

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

}  // namespace

Sampler::Sampler(int64_t vocab_size)
    : counts_(static_cast<size_t>(vocab_size)),
      model_logits_(static_cast<size_t>(vocab_size)),
      strip_highest_(NumStrips(static_cast<size_t>(vocab_size))),
      weights_(static_cast<size_t>(vocab_size)) {}

absl::Status Sampler::Sample(const Args& args, SampledToken& sampled) {
  CHECK_EQ(args.logits.size(), counts_.size());
  const SamplingParams& params = args.params;
  // Neither this nor the sum of exponentials is finite when the other is not.
  if (!std::isfinite(FindHighest(args.logits))) {
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
    HoldBackEnd(args);
  }
  if (changes && !std::isfinite(FindHighest(args.logits))) {
    return Internal("no token that may be chosen at position %d has a finite logit",
                    PositionOf(args));
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

void Sampler::HoldBackEnd(const Args& args) {
  for (const TokenId token : args.params.ending_token_ids) {
    args.logits[static_cast<size_t>(token)] = kImpossible;
  }
}

// The highest logit, and each strip's.
float Sampler::FindHighest(std::span<const float> logits) {
  for (size_t strip = 0; strip < strip_highest_.size(); ++strip) {
    strip_highest_[strip] = HighestOf(StripOf(logits, strip));
  }
  return HighestOf(strip_highest_);
}

TokenId Sampler::Choose(const Args& args) {
  const SamplingParams& params = args.params;
  if (params.temperature == 0) {
    return HighestToken(args.logits);
  }
  weights_.Reset(
      {.logits = args.logits, .strip_highest = strip_highest_, .temperature = params.temperature});
  weights_.KeepTopK(params.top_k);
  weights_.KeepTopP(params.top_p);
  weights_.KeepMinP(params.min_p);
  return WinnerAt(params.seed, PositionOf(args), weights_);
}

// The lower id among equals.
TokenId Sampler::HighestToken(std::span<const float> logits) const {
  const float highest = HighestOf(strip_highest_);
  const auto best = std::find(strip_highest_.begin(), strip_highest_.end(), highest);
  const auto strip = static_cast<size_t>(best - strip_highest_.begin());
  const std::span<const float> strip_logits = StripOf(logits, strip);
  const auto token = std::find(strip_logits.begin(), strip_logits.end(), highest);
  return static_cast<TokenId>(strip * kStripTokens +
                              static_cast<size_t>(token - strip_logits.begin()));
}

}  // namespace hadal
