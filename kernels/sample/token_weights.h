#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/token_id.h"
#include "kernels/scratch_arena.h"

namespace hadal {

/// The weights of all tokens for a draw, exp((logit - highest) / temperature), so that the best
/// token has 1, cut to those that may be drawn; the others have 0. They are computed strip by strip
/// (strips.h), when something asks for them: cuts and the draw know from a strip's heaviest token
/// whether it matters. All bits are the same everywhere. One thread.
class TokenWeights {
 public:
  struct Args {
    std::span<const float> logits;         // [vocab_size]; stay as they are until the next Reset
    std::span<const float> strip_highest;  // [num_strips] HighestOf of each strip
    float temperature;                     // > 0
  };

  /// Works in room of `memory`, some 8 bytes for each token, for as long as that lasts.
  TokenWeights(size_t vocab_size, ScratchArena& memory);

  /// Bytes of that room.
  static int64_t ScratchBytes(int64_t vocab_size);

  /// The weights of all tokens. REQUIRES: the highest logit is finite.
  void Reset(const Args& args);

  /// Cuts, each on what those before it left, which is never nothing: to the `top_k` heaviest (0
  /// keeps all), to the fewest that hold `top_p` of the mass (mass.h), and to those of at least
  /// `min_p`. Of equal weights lower ids are kept. KeepMinP is the last.
  void KeepTopK(int32_t top_k);
  void KeepTopP(float top_p);
  void KeepMinP(float min_p);

  [[nodiscard]] size_t num_strips() const { return heaviest_.size(); }

  /// No token of `strip` weighs more; 0 only where all are out.
  [[nodiscard]] float Heaviest(size_t strip) const { return heaviest_[strip]; }

  /// The first strip that holds a token of the highest logit.
  [[nodiscard]] size_t HeaviestStrip() const { return heaviest_strip_; }

  /// The weights of its tokens, until the next cut or Reset. REQUIRES: Heaviest(strip) > 0.
  std::span<const float> Strip(size_t strip);

 private:
  // What is heavier than `weight` stays, and of what is as heavy the ids up to `last_token`.
  struct Cut {
    float weight;
    uint32_t last_token;
  };
  enum class Measure : int8_t { kCount, kMass };

  struct Digit {
    int shift;  // of the bits to look at
    Measure measure;
    int64_t target;
  };

  // Of the tokens of a bucket, taken in turn: additions to one need not wait for the others.
  static constexpr size_t kNumSums = 4;
  using BucketSums = std::array<int64_t, kNumSums>;

  int64_t Mass();
  std::span<uint32_t> Collect(float least);
  Cut FindCut(std::span<uint32_t> tokens, Measure measure, int64_t target);
  std::span<uint32_t> Refine(std::span<uint32_t> tokens, const Digit& digit, int64_t& above);
  void Keep(const Cut& cut);

  Args args_ = {};
  float highest_ = 0;
  float scale_ = 0;
  float least_ = 0;  // lighter ones weigh nothing
  size_t heaviest_strip_ = 0;
  std::span<float> heaviest_;          // [num_strips]
  std::span<uint8_t> is_weighed_;      // [num_strips] whether weights_ has this strip
  std::span<float> weights_;           // [vocab_size]
  std::span<uint32_t> tokens_;         // [vocab_size], for those among which a cut is searched
  std::span<BucketSums> bucket_sums_;  // [kNumBuckets]
  std::span<float> strip_scratch_;     // [num_strips]
};

}  // namespace hadal
