#include "scheduler/request.h"

#include <algorithm>
#include <limits>

#include "engine/api/forward_batch.h"

namespace hadal {

absl::Status ValidateRequest(const Limits& limits, const Request& request) {
  if (request.prompt.empty()) {
    return InvalidArgument("prompt: expected at least one token");
  }
  const int64_t max_sequences =
      std::min(limits.max_sequences_per_request, limits.max_running_sequences);
  if (request.num_sequences < 1 || request.num_sequences > max_sequences) {
    return InvalidArgument(
        "n: expected 1 to %d sequences, found %d", max_sequences, request.num_sequences);
  }
  const int64_t num_prompt_tokens = std::ssize(request.prompt);
  const int64_t max_new_tokens = limits.max_sequence_tokens - num_prompt_tokens;
  if (max_new_tokens < 1) {
    return InvalidArgument("prompt: %d tokens leave no room in a context of %d",
                           num_prompt_tokens,
                           limits.max_sequence_tokens);
  }
  if (request.max_new_tokens < 1 || request.max_new_tokens > max_new_tokens) {
    return InvalidArgument(
        "max_tokens: expected 1 to %d, what the context leaves after the prompt, found %d",
        max_new_tokens,
        request.max_new_tokens);
  }
  if (request.sampling.min_tokens > request.max_new_tokens) {
    return InvalidArgument("min_tokens: expected at most max_tokens %d, found %d",
                           request.max_new_tokens,
                           request.sampling.min_tokens);
  }
  for (size_t i = 0; i < request.prompt.size(); ++i) {
    if (request.prompt[i] < 0 || request.prompt[i] >= limits.vocab_size) {
      return InvalidArgument("prompt: token %d at place %d is not in the vocabulary of %d",
                             request.prompt[i],
                             i,
                             limits.vocab_size);
    }
  }
  const int64_t num_blocks = NumBlocksFor(num_prompt_tokens + request.max_new_tokens);
  if (num_blocks > limits.num_blocks) {
    return InvalidArgument(
        "prompt and max_tokens need %d cache blocks of %d tokens, there are %d in all",
        num_blocks,
        kBlockSize,
        limits.num_blocks);
  }
  if (request.sampling.num_logprobs > limits.max_logprobs) {
    return InvalidArgument("logprobs: expected at most %d, found %d",
                           limits.max_logprobs,
                           request.sampling.num_logprobs);
  }
  if (std::ssize(request.stop_token_ids) > limits.max_stop_token_ids) {
    return InvalidArgument("stop_token_ids: expected at most %d, found %d",
                           limits.max_stop_token_ids,
                           request.stop_token_ids.size());
  }
  if (std::ssize(request.sampling.ending_token_ids) > limits.max_stop_token_ids) {
    return InvalidArgument("ending_token_ids: expected at most %d, found %d",
                           limits.max_stop_token_ids,
                           request.sampling.ending_token_ids.size());
  }
  if (std::ssize(request.sampling.logit_bias) > limits.max_logit_biases) {
    return InvalidArgument("logit_bias: expected at most %d, found %d",
                           limits.max_logit_biases,
                           request.sampling.logit_bias.size());
  }
  return ValidateSamplingParams(request.sampling, limits.vocab_size);
}

CacheSalt SaltOf(const Request& request) {
  constexpr int64_t kAllTenants = std::numeric_limits<int64_t>::min();  // no TenantId
  const bool is_shared = request.cache_sharing == CacheSharing::kAmongAll;
  return {.tenant = is_shared ? kAllTenants : int64_t{static_cast<int32_t>(request.tenant)},
          .value = request.cache_salt};
}

}  // namespace hadal
