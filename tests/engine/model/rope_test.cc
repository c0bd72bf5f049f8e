#include "engine/model/rope.h"

#include <cmath>

#include <gtest/gtest.h>

namespace hadal {
namespace {

ModelConfig Config(double theta, std::optional<YarnScaling> yarn) {
  ModelConfig config;
  config.qk_nope_head_dim = 128;
  config.qk_rope_head_dim = 64;
  config.rope_theta = theta;
  config.rope_scaling = yarn;
  return config;
}

YarnScaling Yarn(double factor, double beta_fast, double mscale) {
  return {.factor = factor,
          .original_max_position_embeddings = 4096,
          .beta_fast = beta_fast,
          .beta_slow = 1,
          .mscale = mscale,
          .mscale_all_dim = mscale,
          .attention_factor = std::nullopt};
}

// The table of published scales: DeepSeek-V3, V2, Kimi-K2 and a model without YaRN.
TEST(RopeTest, SoftmaxScaleOfPublishedModels) {
  EXPECT_NEAR(SoftmaxScale(Config(1e4, Yarn(40, 32, 1.0))), 0.1352338, 1e-7);
  EXPECT_NEAR(SoftmaxScale(Config(1e4, Yarn(40, 32, 0.707))), 0.1147214, 1e-7);
  EXPECT_NEAR(SoftmaxScale(Config(5e4, Yarn(32, 1, 1.0))), 0.1308608, 1e-7);
  EXPECT_NEAR(SoftmaxScale(Config(5e4, Yarn(64, 1, 1.0))), 0.1446796, 1e-7);
  EXPECT_NEAR(SoftmaxScale(Config(5e4, std::nullopt)), 1 / std::sqrt(192.0), 1e-7);
}

// Frequencies up to `low` are kept, from `high` on divided by the factor, between interpolated.
void ExpectRamp(const ModelConfig& config, size_t low, size_t high) {
  const Rope plain(Config(config.rope_theta, std::nullopt));
  const Rope yarn(config);
  const auto factor = static_cast<float>(config.rope_scaling->factor);
  for (size_t i = 0; i < 32; ++i) {
    const float ratio = plain.frequencies()[i] / yarn.frequencies()[i];
    if (i <= low) {
      EXPECT_FLOAT_EQ(ratio, 1) << i;
    } else if (i >= high) {
      EXPECT_FLOAT_EQ(ratio, factor) << i;
    } else {
      EXPECT_TRUE(ratio > 1 && ratio < factor) << i;
    }
  }
  EXPECT_EQ(yarn.attention_factor(), 1.0F);
}

TEST(RopeTest, YarnRampOfPublishedModels) {
  ExpectRamp(Config(1e4, Yarn(40, 32, 1.0)), 10, 23);
  ExpectRamp(Config(5e4, Yarn(32, 1, 1.0)), 19, 20);
  ExpectRamp(Config(5e4, Yarn(64, 32, 1.0)), 8, 20);
}

TEST(RopeTest, PlainFrequenciesAndAngles) {
  const Rope rope(Config(1e4, std::nullopt));
  EXPECT_FLOAT_EQ(rope.frequencies()[0], 1.0F);
  EXPECT_FLOAT_EQ(rope.frequencies()[16], 0.01F);
  ScratchArena scratch(CpuDevice());
  const std::vector<int32_t> positions = {0, 3, 163839};
  const RopeAngles angles = rope.Angles(positions, scratch);
  for (int64_t i = 0; i < 32; ++i) {
    EXPECT_EQ(angles.cos(0, i), 1.0F);
    EXPECT_EQ(angles.sin(0, i), 0.0F);
  }
  EXPECT_NEAR(angles.cos(1, 0), std::cos(3.0), 1e-6);
  EXPECT_NEAR(angles.sin(1, 16), std::sin(0.03), 1e-6);
  EXPECT_NEAR(angles.sin(2, 0), std::sin(163839.0), 1e-6);
}

// Without both mscale keys transformers scales cosines and sines by 0.1 ln(factor) + 1.
TEST(RopeTest, AttentionFactorWhenKeysAreMissing) {
  YarnScaling yarn = Yarn(40, 32, 1.0);
  yarn.mscale_all_dim.reset();
  const ModelConfig config = Config(1e4, yarn);
  EXPECT_NEAR(Rope(config).attention_factor(), 1.3688879, 1e-6);
  EXPECT_NEAR(SoftmaxScale(config), 1 / std::sqrt(192.0), 1e-7);
  yarn.attention_factor = 0.5;
  EXPECT_EQ(Rope(Config(1e4, yarn)).attention_factor(), 0.5F);
}

}  // namespace
}  // namespace hadal
