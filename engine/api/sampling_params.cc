#include "engine/api/sampling_params.h"

#include <cmath>

namespace hadal {
namespace {

struct Range {
  const char* name;
  float value;
  float min;
  float max;
};

}  // namespace

absl::Status ValidateSamplingParams(const SamplingParams& params, int64_t vocab_size) {
  constexpr float kMaxTemperature = 100;
  constexpr float kMaxRepetitionPenalty = 100;
  constexpr float kMinPositive = 1e-6F;
  for (const Range& range : {Range{"temperature", params.temperature, 0, kMaxTemperature},
                             Range{"top_p", params.top_p, kMinPositive, 1},
                             Range{"min_p", params.min_p, 0, 1},
                             Range{"presence_penalty", params.presence_penalty, -2, 2},
                             Range{"frequency_penalty", params.frequency_penalty, -2, 2},
                             Range{"repetition_penalty",
                                   params.repetition_penalty,
                                   kMinPositive,
                                   kMaxRepetitionPenalty}}) {
    if (!(range.value >= range.min && range.value <= range.max)) {  // NaN is outside too
      return InvalidArgument("%s: expected a number from %g to %g, found %g",
                             range.name,
                             range.min,
                             range.max,
                             range.value);
    }
  }
  if (params.top_k < 0) {
    return InvalidArgument("top_k: expected 0 or more, found %d", params.top_k);
  }
  if (params.num_logprobs < -1 || params.num_logprobs > vocab_size) {
    return InvalidArgument("logprobs: expected at most the vocabulary's size %d, found %d",
                           vocab_size,
                           params.num_logprobs);
  }
  for (const auto& [token, bias] : params.logit_bias) {
    if (token < 0 || token >= vocab_size) {
      return InvalidArgument(
          "logit_bias: token %d is not in the vocabulary of %d", token, vocab_size);
    }
    if (!(std::fabs(bias) <= 100)) {
      return InvalidArgument("logit_bias: expected a number from -100 to 100, found %g", bias);
    }
  }
  if (params.min_tokens < 0) {
    return InvalidArgument("min_tokens: expected 0 or more, found %d", params.min_tokens);
  }
  if (std::ssize(params.ending_token_ids) >= vocab_size) {  // something must be left to choose
    return InvalidArgument("ending_token_ids: expected fewer than the vocabulary's %d, found %d",
                           vocab_size,
                           params.ending_token_ids.size());
  }
  for (const TokenId token : params.ending_token_ids) {
    if (token < 0 || token >= vocab_size) {
      return InvalidArgument(
          "ending_token_ids: token %d is not in the vocabulary of %d", token, vocab_size);
    }
  }
  return absl::OkStatus();
}

}  // namespace hadal
