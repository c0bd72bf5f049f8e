#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/checkpoint/model_config.h"
#include "kernels/rope.h"
#include "kernels/scratch_arena.h"

namespace hadal {

/// The rotary embedding of a model: frequencies with YaRN applied, and the factor on cosines and
/// sines. Source: Peng et al. 2023 (arXiv:2309.00071); the transformers package for what happens
/// when mscale keys are missing.
class Rope {
 public:
  explicit Rope(const ModelConfig& config);

  /// Angles of the given positions, allocated from `scratch`. An angle is the float32 product of
  /// position and frequency, as the models were trained.
  [[nodiscard]] RopeAngles Angles(std::span<const int32_t> positions, ScratchArena& scratch) const;

  /// inv_freq[i], i < qk_rope_head_dim / 2, in radians per position.
  [[nodiscard]] std::span<const float> frequencies() const { return frequencies_; }

  /// What cosines and sines are multiplied with; 1 in all published checkpoints.
  [[nodiscard]] float attention_factor() const { return attention_factor_; }

 private:
  std::vector<float> frequencies_;
  float attention_factor_ = 1;
};

/// The factor on attention scores: qk_head_dim^-0.5, times the square of YaRN's temperature
/// 0.1 mscale_all_dim ln(factor) + 1 when the config has one.
float SoftmaxScale(const ModelConfig& config);

}  // namespace hadal
