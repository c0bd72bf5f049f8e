#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"
#include "engine/api/sampled_token.h"
#include "engine/api/sampling_params.h"

namespace hadal {

/// Chooses the next token. In this order: logit bias; repetition, then frequency and presence
/// penalties; then ending_token_ids are out until min_tokens are generated; with temperature 0 the
/// highest logit (the lower id among equals); otherwise softmax of logits / temperature, cut by
/// top_k, then top_p, then min_p, each on what the one before left, and one draw from the rest.
///
/// The draw depends on params.seed and on the number of tokens, which is the chosen token's index
/// in its sequence, alone, so that a request's tokens do not depend on what else runs beside it. A
/// sampler holds nothing but memory to work in: any may be asked about any sequence. One thread.
class Sampler {
 public:
  struct Args {
    const SamplingParams& params;
    std::span<const TokenId> tokens;  // the sequence so far; penalties read it
    int64_t num_prompt_tokens;        // so many of them, at the front, are the prompt
    std::span<float> logits;          // [vocab_size], overwritten
  };

  explicit Sampler(int64_t vocab_size);

  /// Writes the choice to `sampled`. Internal when no logit is finite that may be chosen. Allocates
  /// nothing else than room in sampled.top_logprobs. REQUIRES: `params` is valid for this
  /// vocabulary, and all tokens are in it.
  absl::Status Sample(const Args& args, SampledToken& sampled);

 private:
  struct Candidate {
    TokenId token;
    float value;  // logit, then probability up to a common factor
  };

  static bool Better(const Candidate& a, const Candidate& b);
  void ApplyPenalties(const Args& args);
  static absl::Status HoldBackEnd(const Args& args);
  TokenId Choose(const Args& args);
  void CollectCandidates(float temperature, std::span<const float> logits);
  void KeepTopK(int32_t top_k);
  void KeepTopP(float top_p);
  void KeepMinP(float min_p);
  TokenId Draw(double uniform);

  std::vector<Candidate> candidates_;  // room for [vocab_size]
  std::vector<int32_t> counts_;        // [vocab_size], all 0 between calls
  std::vector<float> model_logits_;    // [vocab_size], a copy of those that are about to change
};

/// Uniform in [0, 1) with 53 random bits: splitmix64 (Steele et al. 2014,
/// doi 10.1145/2660193.2660195) of the pair.
double UniformAt(uint64_t seed, int64_t position);

}  // namespace hadal
