// Products of kernels/cuda/attention/head_products.cu on the emulated GPU, called by themselves:
// blocks of fp8 scales that lie across heads in every way, which published weights do not have.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/cuda/attention/attention.h"
#include "kernels/cuda/attention/plan.h"
#include "kernels/cuda/device/memory.h"
#include "kernels/self_test/random_tensors.h"
#include "tests/support/compare.h"
#include "tests/support/cuda_emulation/races.h"
#include "tests/support/emulated_table.h"

namespace hadal {
namespace {

using self_test::GuardedTensor;
using self_test::WeightBuffer;
using self_test::WeightSpec;

constexpr WeightSpec kPublishedFp8 = {
    .format = WeightFormat::kFp8Block, .block_rows = 128, .block_cols = 128};

constexpr int64_t kTokens = 19;

void WaitForKernels() {
  cuda::GpuDevice().finish_copies();
}

// kv_b_proj of random numbers, with an input and an output for either product.
class HeadProblem {
 public:
  HeadProblem(const WeightSpec& spec, int64_t heads, int64_t nope, int64_t rank, int64_t v)
      : random_(7),
        weight_(WeightBuffer::MakeRandom(spec, heads * (nope + v), rank, random_)),
        num_heads_(heads),
        queries_(kTokens, heads, nope),
        absorbed_(kTokens, heads, rank),
        latents_(kTokens, heads, rank),
        out_(kTokens, heads, v),
        up_({.weights = {.whole = weight_.matrix(), .keys = {}, .values = {}},
             .nope_dim = nope,
             .kv_lora_rank = rank,
             .v_head_dim = v}) {
    queries_.Fill([this] { return random_.Normal(); });
    latents_.Fill([this] { return random_.Normal(); });
  }

  [[nodiscard]] const cuda::KvUp& up() const { return up_; }

  std::vector<float> Absorb() {
    absorbed_.Poison();
    cuda::AbsorbByTiles(up_, queries_.input(), absorbed_.view());
    WaitForKernels();
    EXPECT_TRUE(absorbed_.GuardsIntact());
    return absorbed_.Elements();
  }
  std::vector<float> Project() {
    out_.Poison();
    cuda::ProjectByTiles(up_, latents_.input(), out_.view());
    WaitForKernels();
    EXPECT_TRUE(out_.GuardsIntact());
    return out_.Elements();
  }

  // Both again, in batches of other sizes.
  std::vector<float> AbsorbInBatches() {
    absorbed_.Poison();
    InBatches([this](int64_t first, int64_t count) {
      cuda::AbsorbByTiles(
          up_, queries_.input().Slice(first, count), absorbed_.view().Slice(first, count));
    });
    return absorbed_.Elements();
  }
  std::vector<float> ProjectInBatches() {
    out_.Poison();
    InBatches([this](int64_t first, int64_t count) {
      cuda::ProjectByTiles(
          up_, latents_.input().Slice(first, count), out_.view().Slice(first, count));
    });
    return out_.Elements();
  }

  void ExpectAbsorbed(const std::vector<float>& actual) const {
    ExpectProducts(actual, queries_, up_.kv_lora_rank, [this](int64_t head, int64_t j, int64_t i) {
      return WeightAt(up_.weights.whole, head * HeadRows() + i, j);
    });
  }
  void ExpectProjected(const std::vector<float>& actual) const {
    ExpectProducts(actual, latents_, up_.v_head_dim, [this](int64_t head, int64_t i, int64_t j) {
      return WeightAt(up_.weights.whole, head * HeadRows() + up_.nope_dim + i, j);
    });
  }

  // Replaces an element of the weight.
  void SetWeightBits(int64_t row, int64_t col, uint8_t bits) {
    const WeightMatrix& whole = weight_.matrix();
    if (bytes_.empty()) {
      bytes_.resize(static_cast<size_t>(whole.rows * whole.cols));
      std::memcpy(bytes_.data(), whole.payload, bytes_.size());
    }
    bytes_[static_cast<size_t>(row * whole.cols + col)] = bits;
    up_.weights.whole.payload = bytes_.data();
  }

 private:
  [[nodiscard]] int64_t HeadRows() const { return up_.nope_dim + up_.v_head_dim; }

  template <typename Call>
  static void InBatches(Call call) {
    int64_t first = 0;
    for (const int64_t count : {1, 16, 2}) {
      call(first, count);
      first += count;
    }
    WaitForKernels();
  }

  // y[t, h, row] = sum of weight(h, row, k) * x[t, h, k], within 2^-15 of the sum of magnitudes.
  template <typename Weight>
  void ExpectProducts(const std::vector<float>& actual,
                      const GuardedTensor<float, 3>& x,
                      int64_t num_rows,
                      Weight weight) const {
    std::vector<float> expected;
    std::vector<double> tolerances;
    for (int64_t i = 0; i < kTokens * num_heads_ * num_rows; ++i) {
      const int64_t head = i / num_rows % num_heads_;
      double sum = 0;
      double magnitude = 0;
      for (int64_t k = 0; k < x.view().extent(2); ++k) {
        const double product =
            double{weight(head, i % num_rows, k)} * x.view()(i / num_rows / num_heads_, head, k);
        sum += product;
        magnitude += std::abs(product);
      }
      expected.push_back(static_cast<float>(sum));
      tolerances.push_back(magnitude * 0x1p-15);
    }
    EXPECT_TRUE(test::IsClose(actual, expected, tolerances));
  }

  self_test::Random random_;
  WeightBuffer weight_;
  std::vector<uint8_t> bytes_;
  int64_t num_heads_;
  GuardedTensor<float, 3> queries_;
  GuardedTensor<float, 3> absorbed_;
  GuardedTensor<float, 3> latents_;
  GuardedTensor<float, 3> out_;
  cuda::KvUp up_;
};

class HeadProductsTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!test::EmulatesCuda() && !emulation::kFindsRaces) {
      GTEST_SKIP() << "no emulated GPU in this build";
    }
  }
};

TEST_F(HeadProductsTest, TakesBf16AndFp8WhoseScalesAreCutBetweenSteps) {
  const auto takes = [](const WeightSpec& spec, int64_t nope, int64_t rank, int64_t v) {
    return cuda::TakesHeadProducts(HeadProblem(spec, 1, nope, rank, v).up());
  };
  const WeightSpec bf16_spec = {.format = WeightFormat::kBf16};
  for (const WeightSpec& spec : {bf16_spec, kPublishedFp8}) {
    EXPECT_TRUE(takes(spec, 128, 512, 128));
    EXPECT_TRUE(takes(spec, 64, 448, 192));
    EXPECT_FALSE(takes(spec, 96, 512, 128));
    EXPECT_FALSE(takes(spec, 128, 480, 128));
    EXPECT_FALSE(takes(spec, 128, 512, 96));
    EXPECT_FALSE(takes(spec, 576, 64, 64));
    EXPECT_FALSE(takes(spec, 64, 576, 64));
  }
  EXPECT_TRUE(takes({WeightFormat::kFp8Block, 32, 96}, 64, 64, 64));
  EXPECT_FALSE(takes({WeightFormat::kFp8Block, 48, 128}, 64, 64, 64));
  EXPECT_FALSE(takes({WeightFormat::kFp8Block, 128, 16}, 64, 64, 64));
  EXPECT_FALSE(takes({WeightFormat::kF32}, 64, 64, 64));
  EXPECT_FALSE(takes({WeightFormat::kF16}, 64, 64, 64));
}

TEST_F(HeadProductsTest, Fp8InBlocksOfAnySize) {
  struct Case {
    WeightSpec spec;
    int64_t heads;
    int64_t nope;
    int64_t rank;
    int64_t v;
  };
  for (const Case& one : {Case{kPublishedFp8, 2, 128, 512, 128},
                          Case{kPublishedFp8, 3, 64, 192, 64},
                          Case{kPublishedFp8, 3, 128, 448, 64},
                          Case{kPublishedFp8, 2, 192, 64, 320},
                          Case{{WeightFormat::kFp8Block, 32, 96}, 2, 128, 512, 64},
                          Case{{WeightFormat::kFp8Block, 160, 32}, 3, 192, 128, 64},
                          Case{{WeightFormat::kFp8Block, 1024, 1024}, 3, 64, 128, 128}}) {
    SCOPED_TRACE(testing::Message() << NameOf(one.spec) << ", " << one.heads << " heads, "
                                    << one.nope << " + " << one.v << " x " << one.rank);
    HeadProblem problem(one.spec, one.heads, one.nope, one.rank, one.v);
    ASSERT_TRUE(cuda::TakesHeadProducts(problem.up()));
    const std::vector<float> absorbed = problem.Absorb();
    problem.ExpectAbsorbed(absorbed);
    EXPECT_TRUE(test::HasSameBits(problem.AbsorbInBatches(), absorbed));
    const std::vector<float> projected = problem.Project();
    problem.ExpectProjected(projected);
    EXPECT_TRUE(test::HasSameBits(problem.ProjectInBatches(), projected));
  }
}

TEST_F(HeadProductsTest, EveryFiniteFp8Number) {
  HeadProblem problem(kPublishedFp8, 2, 64, 64, 64);
  for (int bits = 0; bits < 256; ++bits) {
    problem.SetWeightBits(bits, bits % 64, static_cast<uint8_t>(bits % 128 == 127 ? 0 : bits));
  }
  problem.ExpectAbsorbed(problem.Absorb());
  problem.ExpectProjected(problem.Project());
}

// It reaches no other head.
TEST_F(HeadProductsTest, ANanWeightShows) {
  const auto expect_nan_at =
      [](const std::vector<float>& actual, const std::vector<float>& clean, size_t element) {
        EXPECT_TRUE(std::isnan(actual[element]));
        for (size_t i = 0; i < actual.size(); ++i) {
          const bool is_of_its_head = i / 64 % 2 == element / 64;
          EXPECT_TRUE(is_of_its_head || actual[i] == clean[i]);
        }
      };
  for (const uint8_t bits : {uint8_t{0x7F}, uint8_t{0xFF}}) {
    HeadProblem problem(kPublishedFp8, 2, 64, 64, 64);
    const std::vector<float> absorbed = problem.Absorb();
    const std::vector<float> projected = problem.Project();
    problem.SetWeightBits(128 + 5, 9, bits);  // of head 1's keys
    expect_nan_at(problem.Absorb(), absorbed, 64 + 9);
    EXPECT_TRUE(test::HasSameBits(problem.Project(), projected));
    problem.SetWeightBits(64 + 62, 3, bits);  // of head 0's values
    expect_nan_at(problem.Project(), projected, 62);
  }
}

// Parts of contexts of all lengths up to `num_parts`; behind a context lies NaN.
struct Parts {
  Parts(const cuda::KvUp& up, int64_t num_heads, int64_t num_parts)
      : positions(kTokens),
        highest(static_cast<size_t>(kTokens * num_heads * num_parts), NAN),
        sums(highest),
        latents(highest.size() * static_cast<size_t>(up.kv_lora_rank), NAN) {
    self_test::Random random(static_cast<uint32_t>(num_parts));
    for (int64_t t = 0; t < kTokens; ++t) {
      const int64_t count = t == 0 ? num_parts : 1 + random.Below(num_parts);
      positions[static_cast<size_t>(t)] = static_cast<int32_t>(count * cuda::kPartPositions - 1 -
                                                               random.Below(cuda::kPartPositions));
      for (int64_t head = 0; head < num_heads; ++head) {
        const auto first = static_cast<size_t>((t * num_heads + head) * num_parts);
        const auto rank = static_cast<size_t>(up.kv_lora_rank);
        for (size_t part = first; part < first + static_cast<size_t>(count); ++part) {
          highest[part] = 4 * random.Normal();
          sums[part] = random.Uniform(1, 500);
          for (size_t i = part * rank; i < (part + 1) * rank; ++i) {
            latents[i] = random.Normal();
          }
        }
      }
    }
    attention.cache.kv_lora_rank = up.kv_lora_rank;
    attention.positions = positions.data();
    attention.num_tokens = kTokens;
    attention.num_heads = num_heads;
    attention.num_parts = num_parts;
    attention.highest = highest.data();
    attention.sums = sums.data();
    attention.latents = latents.data();
  }

  std::vector<int32_t> positions;
  std::vector<float> highest;
  std::vector<float> sums;
  std::vector<float> latents;
  cuda::Attention attention = {};
};

TEST_F(HeadProductsTest, JoinsPartsWithTheBitsOfALaunch) {
  constexpr int64_t kHeads = 2;
  for (const WeightSpec& spec : {WeightSpec{.format = WeightFormat::kBf16}, kPublishedFp8}) {
    const HeadProblem problem(spec, kHeads, 64, 192, 128);
    const cuda::KvUp& up = problem.up();
    for (const int64_t num_parts : {int64_t{1}, int64_t{2}, int64_t{7}, cuda::kMostJoinedParts}) {
      Parts parts(up, kHeads, num_parts);
      GuardedTensor<float, 3> joined(kTokens, kHeads, up.kv_lora_rank);
      std::vector<float> latents(static_cast<size_t>(joined.view().num_elements()));
      cuda::JoinParts(parts.attention, latents.data());
      WaitForKernels();
      joined.Fill([next = latents.begin()]() mutable { return *next++; });
      GuardedTensor<float, 3> out(kTokens, kHeads, up.v_head_dim);
      cuda::ProjectByTiles(up, joined.input(), out.view());
      WaitForKernels();
      const std::vector<float> expected = out.Elements();
      EXPECT_TRUE(std::all_of(
          expected.begin(), expected.end(), [](float value) { return std::isfinite(value); }));
      out.Poison();
      cuda::ProjectPartsByTiles(up, parts.attention, out.view());
      WaitForKernels();
      EXPECT_TRUE(test::HasSameBits(out.Elements(), expected));
      EXPECT_TRUE(out.GuardsIntact());
    }
  }
}

}  // namespace
}  // namespace hadal
