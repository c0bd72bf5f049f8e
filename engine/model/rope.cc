#include "engine/model/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace hadal {
namespace {

// YaRN's temperature for a scaling factor.
double Mscale(double factor, double mscale) {
  return factor <= 1 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0;
}

// The (fractional) dimension whose wave turns `rotations` times over the original context.
double CorrectionDim(const ModelConfig& config, double rotations) {
  const auto original = static_cast<double>(config.rope_scaling->original_max_position_embeddings);
  return static_cast<double>(config.qk_rope_head_dim) *
         std::log(original / (rotations * 2 * std::numbers::pi)) /
         (2 * std::log(config.rope_theta));
}

// How far each frequency is interpolated: 0 keeps it, 1 divides it by the factor.
std::vector<double> InterpolationRamp(const ModelConfig& config) {
  const YarnScaling& yarn = *config.rope_scaling;
  double low = CorrectionDim(config, yarn.beta_fast);
  double high = CorrectionDim(config, yarn.beta_slow);
  if (yarn.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, static_cast<double>(config.qk_rope_head_dim - 1));
  if (low == high) {
    high += 0.001;
  }
  std::vector<double> ramp;
  for (int64_t i = 0; i < config.qk_rope_head_dim / 2; ++i) {
    ramp.push_back(std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0));
  }
  return ramp;
}

float AttentionFactor(const YarnScaling& yarn) {
  if (yarn.attention_factor.has_value()) {
    return static_cast<float>(*yarn.attention_factor);
  }
  const double mscale = yarn.mscale.value_or(0);
  const double mscale_all_dim = yarn.mscale_all_dim.value_or(0);
  if (mscale != 0 && mscale_all_dim != 0) {
    return static_cast<float>(Mscale(yarn.factor, mscale) / Mscale(yarn.factor, mscale_all_dim));
  }
  return static_cast<float>(Mscale(yarn.factor, 1));
}

}  // namespace

Rope::Rope(const ModelConfig& config) {
  const auto rope_dim = static_cast<float>(config.qk_rope_head_dim);
  for (int64_t i = 0; i < config.qk_rope_head_dim / 2; ++i) {
    const float exponent = static_cast<float>(2 * i) / rope_dim;
    frequencies_.push_back(1.0F / std::pow(static_cast<float>(config.rope_theta), exponent));
  }
  if (!config.rope_scaling.has_value()) {
    return;
  }
  const std::vector<double> ramp = InterpolationRamp(config);
  for (size_t i = 0; i < frequencies_.size(); ++i) {
    const double frequency = frequencies_[i];
    frequencies_[i] = static_cast<float>(frequency * (1 - ramp[i]) +
                                         frequency / config.rope_scaling->factor * ramp[i]);
  }
  attention_factor_ = AttentionFactor(*config.rope_scaling);
}

RopeAngles Rope::Angles(std::span<const int32_t> positions, ScratchArena& scratch) const {
  const auto cos = scratch.Allocate<float>(std::ssize(positions), std::ssize(frequencies_));
  const auto sin = scratch.Allocate<float>(std::ssize(positions), std::ssize(frequencies_));
  for (size_t t = 0; t < positions.size(); ++t) {
    for (size_t i = 0; i < frequencies_.size(); ++i) {
      const float angle = static_cast<float>(positions[t]) * frequencies_[i];
      cos(t, i) = std::cos(angle) * attention_factor_;
      sin(t, i) = std::sin(angle) * attention_factor_;
    }
  }
  return {.cos = cos, .sin = sin};
}

float SoftmaxScale(const ModelConfig& config) {
  double scale = 1.0 / std::sqrt(static_cast<double>(config.qk_head_dim()));
  if (config.rope_scaling.has_value() && config.rope_scaling->mscale_all_dim.has_value()) {
    const double mscale = Mscale(config.rope_scaling->factor, *config.rope_scaling->mscale_all_dim);
    scale *= mscale * mscale;
  }
  return static_cast<float>(scale);
}

}  // namespace hadal
