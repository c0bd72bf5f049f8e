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

bool ChangesLogits(const Sampler::Args& args) {
  return !args.params.logit_bias.empty() || HasPenalties(args.params) || IsTooShort(args);
}

SampleChoice ChoiceOf(const Sampler::Args& args, int64_t row) {
  const SamplingParams& params = args.params;
  return {.seed = params.seed,
          .position = PositionOf(args),
          .row = row,
          .temperature = params.temperature,
          .top_k = params.top_k,
          .top_p = params.top_p,
          .min_p = params.min_p};
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
      chooser_memory_(CpuDevice()),
      chooser_(static_cast<size_t>(vocab_size), chooser_memory_) {}

absl::Status Sampler::Sample(const Args& args, SampledToken& sampled) {
  CHECK_EQ(args.logits.size(), counts_.size());
  const SamplingParams& params = args.params;
  // Neither this nor the sum of exponentials is finite when the other is not.
  if (!chooser_.Read(args.logits)) {
    return Internal("the model's logits at position %d are not finite", PositionOf(args));
  }
  sampled.logprob = 0;
  sampled.top_logprobs.clear();
  const bool changes = ChangesLogits(args);
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
  if (changes && !chooser_.Read(args.logits)) {
    return Internal("no token that may be chosen at position %d has a finite logit",
                    PositionOf(args));
  }
  sampled.token = chooser_.Choose(ChoiceOf(args, 0));
  if (args.num_logprobs >= 0) {
    const float logit = model_logits[static_cast<size_t>(sampled.token)];
    sampled.logprob = static_cast<float>(double{logit} - log_sum);
  }
  return absl::OkStatus();
}

std::optional<SampleChoice> Sampler::PlainChoice(const Args& args, int64_t row) {
  if (args.num_logprobs >= 0 || ChangesLogits(args)) {
    return std::nullopt;
  }
  return ChoiceOf(args, row);
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

}  // namespace hadal
