// Attention and its projections against closed formulas. Every back end must agree.

#include <cmath>
#include <complex>

#include "kernels/rope.h"
#include "kernels/self_test/cache_buffer.h"
#include "tests/support/kernel_runner.h"

namespace hadal {
namespace {

// One head over one sequence: nope_dim 1, rope_dim 2, rank 2, v_head_dim 3.
struct Problem {
  Problem()
      : cache({.dtype = DType::kF32,
               .num_blocks = 4,
               .block_size = 2,
               .row_width = 4,
               .kv_lora_rank = 2}),
        kv_b_proj({}, 4, 2, {1, 0, 1, 2, 3, 4, 5, 6}) {
    const std::vector<std::vector<float>> rows = {
        {1, 0, 0, 1}, {0, 2, 1, 0}, {-1, 1, 2, 0}, {4, -4, 0, 3}, {0.5F, 0.5F, 1, 1}};
    for (size_t position = 0; position < rows.size(); ++position) {
      const int64_t block = block_table[position / 2];
      cache.SetRow(block * 2 + static_cast<int64_t>(position % 2), rows[position]);
    }
  }

  // Row i of V applied to the latent of row `position`.
  static float Value(size_t position, size_t i) {
    constexpr float kLatents[5][2] = {{1, 0}, {0, 2}, {-1, 1}, {4, -4}, {0.5F, 0.5F}};
    constexpr float kV[3][2] = {{1, 2}, {3, 4}, {5, 6}};
    return kV[i][0] * kLatents[position][0] + kV[i][1] * kLatents[position][1];
  }

  std::array<float, 3> Attend(const KernelTable& table,
                              MlaForm form,
                              std::array<float, 3> q,
                              int32_t position,
                              float softmax_scale) {
    test::KernelRunner runner(2);
    std::array<float, 3> out = {};
    const std::array<int32_t, 2> query_starts = {0, 1};
    table.mla_attention({.q = MakeView(static_cast<const float*>(q.data()), 1, 1, 3),
                         .cache = cache.cache(),
                         .query_starts = MakeView(query_starts.data(), 2),
                         .block_tables = MakeView(block_table.data(), 1, 3),
                         .positions = MakeView(static_cast<const int32_t*>(&position), 1),
                         .kv_b_proj = {.whole = kv_b_proj.matrix(), .keys = {}, .values = {}},
                         .kv_lora_rank = 2,
                         .v_head_dim = 3,
                         .softmax_scale = softmax_scale,
                         .form = form,
                         .out = MakeView(out.data(), 1, 1, 3)},
                        runner.context);
    return out;
  }

  const std::array<int32_t, 3> block_table = {3, 0, 2};
  self_test::CacheBuffer cache;
  self_test::WeightBuffer kv_b_proj;
};

class AttentionFormulaTest : public testing::TestWithParam<std::string> {
 protected:
  const KernelTable table_ = test::TableOf(GetParam());
  Problem problem_;
};

constexpr std::array kForms = {MlaForm::kAbsorbed, MlaForm::kMaterialised, MlaForm::kAuto};

TEST_P(AttentionFormulaTest, EqualScoresGiveTheMeanOfValues) {
  for (const MlaForm form : kForms) {
    for (int32_t position = 0; position < 5; ++position) {
      const auto out = problem_.Attend(table_, form, {0, 0, 0}, position, 0.7F);
      for (size_t i = 0; i < 3; ++i) {
        float mean = 0;
        for (size_t s = 0; s <= static_cast<size_t>(position); ++s) {
          mean += Problem::Value(s, i) / static_cast<float>(position + 1);
        }
        EXPECT_NEAR(out[i], mean, 1e-5F);
      }
    }
  }
}

TEST_P(AttentionFormulaTest, TheFirstTokenSeesItsValueWhateverTheScale) {
  for (const MlaForm form : kForms) {
    for (const float scale : {0.0F, 0.135F, -3.0F, 1e6F}) {
      const auto out = problem_.Attend(table_, form, {2, -1, 5}, 0, scale);
      for (size_t i = 0; i < 3; ++i) {
        EXPECT_EQ(out[i], Problem::Value(0, i));
      }
    }
  }
}

// q = (1, 2, 3): scores 1 * (first latent element) + 2 k_0 + 3 k_1 are 4 and 2 at positions 0
// and 1.
TEST_P(AttentionFormulaTest, TwoScoresByHand) {
  for (const MlaForm form : kForms) {
    const auto out = problem_.Attend(table_, form, {1, 2, 3}, 1, 0.5F);
    const float weight = 1 / (1 + std::exp(0.5F * (2 - 4)));  // of position 0
    for (size_t i = 0; i < 3; ++i) {
      const float expected = weight * Problem::Value(0, i) + (1 - weight) * Problem::Value(1, i);
      EXPECT_NEAR(out[i], expected, 1e-5F);
    }
  }
}

// Scores 10, 4 * 3 = 13 and others far below: with a large scale the best row alone is left.
TEST_P(AttentionFormulaTest, ALargeScaleTakesTheBestRow) {
  for (const MlaForm form : kForms) {
    const auto out = problem_.Attend(table_, form, {1, 0, 3}, 4, 1000.0F);
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_EQ(out[i], Problem::Value(3, i));
    }
  }
}

// With x and the projections chosen as units, q and the cache row show the rotation itself:
// pairs (2i, 2i + 1) are complex numbers.
TEST_P(AttentionFormulaTest, RopeTurnsInterleavedPairs) {
  constexpr float kAngleA = 0.3F;
  constexpr float kAngleB = -1.1F;
  const std::vector<float> x = {1, 2, -3, 0.5F, 4};
  // q = (x0, x1, x2, x3, x4): nope_dim 1. kv = (x4, x1, x2, x3, x0): rank 1.
  const self_test::WeightBuffer q_proj(
      {}, 5, 5, {1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1});
  const self_test::WeightBuffer kv_a_proj(
      {}, 5, 5, {0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0});
  const std::vector<float> norm = {3};
  const std::vector<float> cos = {std::cos(kAngleA), std::cos(kAngleB)};
  const std::vector<float> sin = {std::sin(kAngleA), std::sin(kAngleB)};
  const int64_t slot = 5;
  self_test::CacheBuffer cache(
      {.dtype = DType::kF32, .num_blocks = 2, .block_size = 3, .row_width = 5, .kv_lora_rank = 1});
  std::array<float, 5> q = {};
  test::KernelRunner runner(2);
  table_.mla_project(
      {.x = MakeView(x.data(), 1, 5),
       .weights = {.q_a_proj = {},
                   .q_a_layernorm = {},
                   .q_b_proj = q_proj.matrix(),
                   .kv_a_proj_with_mqa = kv_a_proj.matrix(),
                   .kv_a_layernorm = MakeView(norm.data(), 1)},
       .rms_norm_eps = 1e-6F,
       .angles = {.cos = MakeView(cos.data(), 1, 2), .sin = MakeView(sin.data(), 1, 2)},
       .slots = MakeView(&slot, 1),
       .cache = cache.cache(),
       .q = MakeView(q.data(), 1, 1, 5)},
      runner.context);
  using Complex = std::complex<float>;
  const auto expect_turned = [](std::span<const float> pair, Complex before, float angle) {
    const Complex after = before * std::polar(1.0F, angle);
    EXPECT_NEAR(pair[0], after.real(), 1e-5F);
    EXPECT_NEAR(pair[1], after.imag(), 1e-5F);
  };
  EXPECT_EQ(q[0], 1);
  expect_turned(std::span(q).subspan(1, 2), {2, -3}, kAngleA);
  expect_turned(std::span(q).subspan(3, 2), {0.5F, 4}, kAngleB);
  const std::vector<float> row = cache.Row(slot);
  EXPECT_NEAR(row[0], 3, 1e-5F);  // the norm of one number is its sign times the weight
  expect_turned(std::span(row).subspan(1, 2), {2, -3}, kAngleA);
  expect_turned(std::span(row).subspan(3, 2), {0.5F, 1}, kAngleB);
  EXPECT_TRUE(cache.OthersUntouched({&slot, 1}));
}

// With unit projections and no rotation, the roped key reaches a bf16 row rounded to nearest even:
// two ties, one up and one down, and a number between.
TEST_P(AttentionFormulaTest, CacheRowsRoundToNearestEven) {
  const std::vector<float> x = {1 + 0x1p-8F, 1 + 0x3p-8F, -1.2345F, 0x1.8p-130F, 1};
  const self_test::WeightBuffer unit(
      {}, 5, 5, {0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0});
  const std::vector<float> norm = {1};
  const std::vector<float> cos = {1, 1};
  const std::vector<float> sin = {0, 0};
  const int64_t slot = 1;
  self_test::CacheBuffer cache(
      {.dtype = DType::kBf16, .num_blocks = 1, .block_size = 3, .row_width = 5, .kv_lora_rank = 1});
  std::array<float, 5> q = {};
  test::KernelRunner runner(1);
  table_.mla_project(
      {.x = MakeView(x.data(), 1, 5),
       .weights = {.q_a_proj = {},
                   .q_a_layernorm = {},
                   .q_b_proj = unit.matrix(),
                   .kv_a_proj_with_mqa = unit.matrix(),
                   .kv_a_layernorm = MakeView(norm.data(), 1)},
       .rms_norm_eps = 1e-6F,
       .angles = {.cos = MakeView(cos.data(), 1, 2), .sin = MakeView(sin.data(), 1, 2)},
       .slots = MakeView(&slot, 1),
       .cache = cache.cache(),
       .q = MakeView(q.data(), 1, 1, 5)},
      runner.context);
  EXPECT_EQ(cache.Row(slot),
            (std::vector<float>{1, 1, 1 + 0x1p-6F, ToFloat(ToBf16(-1.2345F)), 0x1.8p-130F}));
  EXPECT_TRUE(cache.OthersUntouched({&slot, 1}));
}

// Scores after RoPE depend on the distance of positions alone.
TEST(RopeTest, DotProductsDependOnDistance) {
  const auto turned = [](std::array<float, 2> pair, float angle) {
    const float cos = std::cos(angle);
    const float sin = std::sin(angle);
    RotateInterleaved({&cos, 1}, {&sin, 1}, pair);
    return pair;
  };
  const auto score = [&](float query_position, float key_position) {
    const auto q = turned({0.7F, -2}, 0.2F * query_position);
    const auto k = turned({1.5F, 0.4F}, 0.2F * key_position);
    return q[0] * k[0] + q[1] * k[1];
  };
  EXPECT_NEAR(score(9, 4), score(5, 0), 1e-5F);
  EXPECT_GT(std::abs(score(9, 4) - score(4, 9)), 0.1F);
}

INSTANTIATE_TEST_SUITE_P(BackEnds,
                         AttentionFormulaTest,
                         testing::ValuesIn(AvailableBackEnds()),
                         test::NameOfBackEnd);

}  // namespace
}  // namespace hadal
