#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

namespace hadal::cpu {

/// A softmax-weighted sum of value rows, taken in pieces: `highest` score so far, `sum` of
/// exp(score - highest), and the sum of exp(score - highest) * value kept by the caller.
/// Source: Milakov & Gimelshein 2018 (arXiv:1805.02867).
struct OnlineSoftmax {
  float highest = -std::numeric_limits<float>::infinity();
  float sum = 0;
};

/// Takes `scores` into `state`, scaling `weighted` to the new highest, and replaces them by the
/// weights with which their value rows are to be added to `weighted`.
inline void TakeScores(std::span<float> scores, OnlineSoftmax& state, std::span<float> weighted) {
  float highest = state.highest;
  for (const float score : scores) {
    highest = std::max(highest, score);
  }
  if (highest > state.highest) {
    const float correction = std::exp(state.highest - highest);
    state.sum *= correction;
    for (float& value : weighted) {
      value *= correction;
    }
    state.highest = highest;
  }
  for (float& score : scores) {
    score = std::exp(score - highest);
    state.sum += score;
  }
}

}  // namespace hadal::cpu
