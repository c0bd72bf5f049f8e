#include "kernels/sample/token_chooser.h"

#include <algorithm>
#include <cmath>

#include "kernels/sample/race.h"
#include "kernels/sample/strips.h"

namespace hadal {

TokenChooser::TokenChooser(size_t vocab_size, ScratchArena& memory)
    : strip_highest_(memory.Allocate<float>(NumStrips(vocab_size)).Row()),
      weights_(vocab_size, memory) {}

int64_t TokenChooser::ScratchBytes(int64_t vocab_size) {
  const auto num_strips = static_cast<int64_t>(NumStrips(static_cast<size_t>(vocab_size)));
  return int64_t{sizeof(TokenChooser)} + num_strips * int64_t{sizeof(float)} +
         TokenWeights::ScratchBytes(vocab_size);
}

bool TokenChooser::Read(std::span<const float> logits) {
  logits_ = logits;
  for (size_t strip = 0; strip < strip_highest_.size(); ++strip) {
    strip_highest_[strip] = HighestOf(StripOf(logits, strip));
  }
  return std::isfinite(HighestOf(strip_highest_));
}

TokenId TokenChooser::Choose(const SampleChoice& choice) {
  if (choice.temperature == 0) {
    return HighestToken();
  }
  weights_.Reset(
      {.logits = logits_, .strip_highest = strip_highest_, .temperature = choice.temperature});
  weights_.KeepTopK(choice.top_k);
  weights_.KeepTopP(choice.top_p);
  weights_.KeepMinP(choice.min_p);
  return WinnerAt(choice.seed, choice.position, weights_);
}

// The lower id among equals.
TokenId TokenChooser::HighestToken() const {
  const float highest = HighestOf(strip_highest_);
  const auto best = std::find(strip_highest_.begin(), strip_highest_.end(), highest);
  const auto strip = static_cast<size_t>(best - strip_highest_.begin());
  const std::span<const float> strip_logits = StripOf(logits_, strip);
  const auto token = std::find(strip_logits.begin(), strip_logits.end(), highest);
  return static_cast<TokenId>(strip * kStripTokens +
                              static_cast<size_t>(token - strip_logits.begin()));
}

}  // namespace hadal
