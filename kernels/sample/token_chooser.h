#pragma once

#include <span>

#include "kernels/sample.h"
#include "kernels/sample/token_weights.h"

namespace hadal {

/// Chooses tokens from rows of logits on the CPU, as kernels/sample.h defines it. Holds nothing but
/// memory to work in. One thread.
///
///   if (chooser.Read(logits)) { token = chooser.Choose(choice); }
class TokenChooser {
 public:
  /// Works in room of `memory`, for as long as that lasts.
  TokenChooser(size_t vocab_size, ScratchArena& memory);

  /// Bytes of that room, and of the chooser itself.
  static int64_t ScratchBytes(int64_t vocab_size);

  /// Looks at a row, [vocab_size], which stays as it is until the next one. Whether a token can be
  /// chosen: the highest logit is finite.
  bool Read(std::span<const float> logits);

  /// A token of the row that was read. REQUIRES: one can be chosen.
  TokenId Choose(const SampleChoice& choice);

 private:
  [[nodiscard]] TokenId HighestToken() const;

  std::span<const float> logits_;
  std::span<float> strip_highest_;  // [num_strips] HighestOf of each
  TokenWeights weights_;
};

}  // namespace hadal
