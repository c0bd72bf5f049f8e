#pragma once

#include <cstddef>
#include <span>

#include "base/tensor_view.h"

namespace hadal {

/// The rotations of a step's tokens: cosines and sines of position * frequency, times the YaRN
/// attention factor.
struct RopeAngles {
  TensorView<const float, 2> cos;  // [num_tokens, rope_dim / 2]
  TensorView<const float, 2> sin;  // [num_tokens, rope_dim / 2]
};

/// Rotates, in place, the interleaved pairs (2i, 2i + 1) of one head: as complex numbers,
/// x[i] *= cos[i] + j sin[i].
/// Source: Su et al. 2021 (arXiv:2104.09864); the pairing is that of DeepSeek's checkpoints.
inline void RotateInterleaved(std::span<const float> cos,
                              std::span<const float> sin,
                              std::span<float> x) {
  for (size_t i = 0; i < cos.size(); ++i) {
    const float real = x[2 * i];
    const float imaginary = x[2 * i + 1];
    x[2 * i] = real * cos[i] - imaginary * sin[i];
    x[2 * i + 1] = real * sin[i] + imaginary * cos[i];
  }
}

}  // namespace hadal
