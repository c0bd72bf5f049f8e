#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/status.h"
#include "engine/api/sampled_token.h"
#include "engine/api/sampling_params.h"
#include "kernels/sample/token_chooser.h"

namespace hadal {

/// Chooses the next token. In this order: logit bias; repetition, then frequency and presence
/// penalties; then ending_token_ids are out until min_tokens are generated; with temperature 0 the
/// highest logit (the lower id among equals); otherwise softmax of logits / temperature, cut by
/// top_k, then top_p, then min_p, each on what the one before left, and one draw from the rest.
/// From the temperature on it is the op `sample` (kernels/sample.h), whose tokens are the same.
///
/// The draw is a race (kernels/sample/race.h) that depends on params.seed and on the chosen token's
/// index in its sequence alone, not on what else runs beside the request; and two distributions
/// that are close mostly choose the same token at the same place, which is what makes drafts come
/// true (Daliri et al. 2024, arXiv:2408.07978). A sampler holds nothing but memory to work in: any
/// may be asked about any sequence. One thread.
class Sampler {
 public:
  struct Args {
    const SamplingParams& params;
    std::span<const TokenId> tokens;       // the sequence so far; penalties read it
    std::span<const TokenId> drafts = {};  // that follow it, as if they had been generated
    int64_t num_prompt_tokens;             // so many of `tokens`, at the front, are the prompt
    int32_t num_logprobs = -1;             // as in SamplingParams
    std::span<float> logits;               // [vocab_size], overwritten
  };

  explicit Sampler(int64_t vocab_size);

  /// Writes the choice to `sampled`. Internal when no logit is finite that may be chosen. Allocates
  /// nothing else than room in sampled.top_logprobs. REQUIRES: `params` is valid for this
  /// vocabulary, and all tokens are in it.
  absl::Status Sample(const Args& args, SampledToken& sampled);

  /// What the op `sample` can choose in a sampler's place, from row `row` of logits: the choice
  /// where nothing but the choice looks at them or changes them. Does not look at args.logits.
  static std::optional<SampleChoice> PlainChoice(const Args& args, int64_t row);

 private:
  void ApplyPenalties(const Args& args);
  void Penalise(const SamplingParams& params, TokenId token, std::span<float> logits);
  static void HoldBackEnd(const Args& args);

  std::vector<int32_t> counts_;      // [vocab_size], all 0 between calls
  std::vector<float> model_logits_;  // [vocab_size], a copy of those that are about to change
  ScratchArena chooser_memory_;
  TokenChooser chooser_;
};

}  // namespace hadal
