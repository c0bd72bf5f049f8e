#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

#include "kernels/cpu/vector_kernels.h"

namespace hadal::cpu {

/// A softmax-weighted sum of value rows, taken in pieces: `highest` score so far, `sum` of
/// exp(score - highest), and the sum of exp(score - highest) * value kept by the caller.
/// Source: Milakov & Gimelshein 2018 (arXiv:1805.02867).
struct OnlineSoftmax {
  float highest = -std::numeric_limits<float>::infinity();
  float sum = 0;
};

/// Takes `scores` with their value rows, values + i * stride, into `state` and `weighted`.
inline void AddScores(const VectorKernels& vector,
                      std::span<const float> scores,
                      const float* values,
                      int64_t stride,
                      OnlineSoftmax& state,
                      std::span<float> weighted) {
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
  for (size_t i = 0; i < scores.size(); ++i) {
    const float weight = std::exp(scores[i] - highest);
    state.sum += weight;
    vector.axpy(
        weight, values + static_cast<int64_t>(i) * stride, std::ssize(weighted), weighted.data());
  }
}

}  // namespace hadal::cpu
