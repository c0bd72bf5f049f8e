#include "kernels/cpu/tiles/tile_kernels.h"

#include <cmath>
#include <limits>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/cpu/tiles/tile_product.h"
#include "kernels/cpu/vector_kernels.h"
#include "kernels/self_test/bounds.h"
#include "kernels/self_test/random_tensors.h"
#include "tests/kernels/cpu/emulated_tile_kernels.h"
#include "tests/support/compare.h"

namespace hadal::cpu {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kLargest = std::numeric_limits<float>::max();

// Those that this machine can run, the processor's where it has them.
std::vector<const TileKernels*> AllTileKernels() {
  std::vector<const TileKernels*> all = {&EmulatedTileKernels()};
  if (IsSupported(Isa::kAmx)) {
    all.push_back(&VectorKernelsOf(Isa::kAmx).tiles());
  }
  return all;
}

struct Problem {
  Problem(const self_test::WeightSpec& spec, int64_t num_inputs, int64_t rows, int64_t cols)
      : random(static_cast<uint32_t>(num_inputs * 1000 + rows * 7 + cols)),
        buffer(self_test::WeightBuffer::MakeRandom(spec, rows, cols, random)),
        weight(buffer.matrix()),
        x(static_cast<size_t>(num_inputs), std::vector<float>(static_cast<size_t>(cols))) {
    // A copy that ends where the weights end, for the address sanitizer.
    const auto size = static_cast<size_t>(rows * cols) *
                      (spec.format == WeightFormat::kBf16 ? sizeof(bf16) : sizeof(fp8_e4m3));
    payload = std::make_unique<std::byte[]>(size);  // NOLINT(*-avoid-c-arrays)
    std::memcpy(payload.get(), weight.payload, size);
    weight.payload = payload.get();
    for (std::vector<float>& row : x) {
      for (float& value : row) {
        value = random.Normal();
      }
    }
  }

  // y[i][r] for inputs [first, first + count), split as they would be in a batch of all.
  [[nodiscard]] std::vector<float> Run(const TileKernels& kernels,
                                       int64_t first,
                                       int64_t count) const {
    const int64_t group_size = NumSplitTiles(weight.cols) * kSplitTileSize;
    std::vector<bf16> groups;
    for (int64_t begin = 0; begin < std::ssize(x); begin += kSplitInputs) {
      std::array<const float*, kSplitInputs> rows = {};
      const int64_t num_rows = std::min(kSplitInputs, std::ssize(x) - begin);
      for (int64_t i = 0; i < num_rows; ++i) {
        rows[static_cast<size_t>(i)] = x[static_cast<size_t>(begin + i)].data();
      }
      groups.resize(groups.size() + static_cast<size_t>(group_size), bf16{0x7FC0});
      kernels.split_group(rows, num_rows, weight.cols, groups.data() + groups.size() - group_size);
    }
    std::vector<float> y(static_cast<size_t>(count * weight.rows), kNan);
    const SplitRows rows = {
        .groups = groups.data(), .group_stride = group_size, .first = first, .count = count};
    TileDots(kernels,
             rows,
             weight,
             0,
             weight.rows,
             [&](int64_t i, int64_t row, std::span<const float> sums) {
               std::copy(sums.begin(), sums.end(), y.begin() + i * weight.rows + row);
             });
    return y;
  }

  [[nodiscard]] std::vector<float> RunAll(const TileKernels& kernels) const {
    return Run(kernels, 0, std::ssize(x));
  }

  self_test::Random random;
  self_test::WeightBuffer buffer;
  WeightMatrix weight;
  std::unique_ptr<std::byte[]> payload;  // NOLINT(*-avoid-c-arrays)
  std::vector<std::vector<float>> x;
};

class TileKernelsTest : public testing::TestWithParam<self_test::WeightSpec> {};

TEST_P(TileKernelsTest, EqualTheFormula) {
  for (const int64_t num_inputs : {1, 8, 9, 17, 40}) {
    for (const int64_t rows : {1, 15, 17, 33, 64, 130}) {
      for (const int64_t cols : {1, 31, 64, 190, 700}) {
        const Problem problem(GetParam(), num_inputs, rows, cols);
        const std::vector<double> weights = problem.buffer.Values();
        const std::vector<double> row_norms = self_test::RowNorms(problem.weight);
        std::vector<float> expected;
        std::vector<double> tolerances;
        for (const std::vector<float>& x : problem.x) {
          for (int64_t row = 0; row < rows; ++row) {
            double sum = 0;
            for (int64_t col = 0; col < cols; ++col) {
              sum += double{x[static_cast<size_t>(col)]} *
                     weights[static_cast<size_t>(row * cols + col)];
            }
            expected.push_back(static_cast<float>(sum));
            tolerances.push_back(self_test::Gamma(problem.weight) * self_test::Norm(x) *
                                     row_norms[static_cast<size_t>(row)] +
                                 self_test::kUnit * std::abs(sum));
          }
        }
        for (const TileKernels* kernels : AllTileKernels()) {
          EXPECT_TRUE(test::IsClose(problem.RunAll(*kernels), expected, tolerances))
              << num_inputs << " x " << rows << " x " << cols;
        }
      }
    }
  }
}

TEST_P(TileKernelsTest, AnInputHasTheSameBitsInAnyBatch) {
  for (const auto& [rows, cols] : {std::pair<int64_t, int64_t>{70, 190}, {64, 300}, {5, 33}}) {
    const Problem problem(GetParam(), 150, rows, cols);
    const std::vector<float> together = problem.RunAll(EmulatedTileKernels());
    for (const int64_t count : {1, 3, 8, 12, 20}) {
      for (int64_t first = 0; first + count <= 150; first += 19) {
        const std::vector<float> expected(together.begin() + first * rows,
                                          together.begin() + (first + count) * rows);
        for (const TileKernels* kernels : AllTileKernels()) {
          EXPECT_TRUE(test::HasSameBits(problem.Run(*kernels, first, count), expected))
              << first << " + " << count;
        }
      }
    }
  }
}

TEST_P(TileKernelsTest, NumbersThatAreNotFiniteStayWithTheirInput) {
  for (const int64_t num_inputs : {3, 20}) {
    Problem problem(GetParam(), num_inputs, 18, 70);
    const std::vector<float> before = problem.RunAll(EmulatedTileKernels());
    problem.x[0][69] = kNan;
    problem.x[2][0] = -kInfinity;
    for (const TileKernels* kernels : AllTileKernels()) {
      const std::vector<float> after = problem.RunAll(*kernels);
      for (size_t i = 0; i < after.size(); ++i) {
        if (i / 18 == 0) {
          EXPECT_TRUE(std::isnan(after[i]));
        } else if (i / 18 == 2) {
          EXPECT_FALSE(std::isfinite(after[i]));
        } else {
          EXPECT_EQ(after[i], before[i]);
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Formats,
                         TileKernelsTest,
                         testing::Values(self_test::WeightSpec{.format = WeightFormat::kBf16},
                                         self_test::WeightSpec{WeightFormat::kFp8Block, 128, 128},
                                         self_test::WeightSpec{WeightFormat::kFp8Block, 16, 32},
                                         self_test::WeightSpec{WeightFormat::kFp8Block, 48, 160}),
                         [](const auto& spec) { return self_test::NameOf(spec.param); });

TEST(SplitTest, PartsAddUpToTheNumber) {
  self_test::Random random(5);
  for (int i = 0; i < 10000; ++i) {
    const float x = std::ldexp(random.Normal(), static_cast<int>(random.Below(200)) - 100);
    const SplitFloat parts = Split(x);
    EXPECT_LE(std::abs(double{ToFloat(parts.high)} + double{ToFloat(parts.low)} - double{x}),
              0x1p-17 * std::abs(x));
  }
}

TEST(SplitTest, LargestNumbersStayFinite) {
  for (const float x : {kLargest, -kLargest, 0x1.FFp127F}) {
    const SplitFloat parts = Split(x);
    EXPECT_LE(std::abs(double{ToFloat(parts.high)} + double{ToFloat(parts.low)} - double{x}),
              0x1p-16 * double{kLargest});
  }
  for (const float x : {kInfinity, -kInfinity}) {
    EXPECT_EQ(ToFloat(Split(x).high), x);
    EXPECT_EQ(ToFloat(Split(x).low), 0);
  }
  EXPECT_TRUE(std::isnan(ToFloat(Split(kNan).high)));
}

TEST(TakesTilesTest, WholeTilesInABlock) {
  EXPECT_TRUE(TakesTiles({.format = WeightFormat::kBf16}));
  EXPECT_FALSE(TakesTiles({.format = WeightFormat::kF32}));
  EXPECT_TRUE(
      TakesTiles({.format = WeightFormat::kFp8Block, .block_rows = 128, .block_cols = 128}));
  EXPECT_FALSE(TakesTiles({.format = WeightFormat::kFp8Block, .block_rows = 8, .block_cols = 128}));
  EXPECT_FALSE(TakesTiles({.format = WeightFormat::kFp8Block, .block_rows = 48, .block_cols = 80}));
}

#ifdef __x86_64__

class Avx512TileLanesTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!IsSupported(Isa::kAvx512)) {
      GTEST_SKIP() << "this machine has no AVX-512";
    }
  }
};

bool SameBits(const std::vector<bf16>& a, const std::vector<bf16>& b) {
  return std::equal(
      a.begin(), a.end(), b.begin(), b.end(), [](bf16 x, bf16 y) { return x.bits == y.bits; });
}

TEST_F(Avx512TileLanesTest, SplitAsDefined) {
  self_test::Random random(11);
  for (const int64_t cols : {1, 16, 17, 31, 32, 33, 64, 100}) {
    for (int64_t count = 1; count <= kSplitInputs; ++count) {
      std::vector<std::vector<float>> x;
      std::array<const float*, kSplitInputs> rows = {};
      for (int64_t i = 0; i < count; ++i) {
        std::vector<float> row;
        for (int64_t col = 0; col < cols; ++col) {
          constexpr std::array kSpecial = {0.0F,
                                           -0.0F,
                                           kInfinity,
                                           -kInfinity,
                                           kNan,
                                           kLargest,
                                           1e-40F,
                                           0x1.FEFFFFp127F,
                                           -kLargest,
                                           0x1p-126F,
                                           0x1.01p0F,
                                           0x1.03p0F};
          const auto special = static_cast<size_t>(random.Below(4 * std::ssize(kSpecial)));
          const int exponent = static_cast<int>(random.Below(250)) - 125;
          row.push_back(special < kSpecial.size() ? kSpecial[special]
                                                  : std::ldexp(random.Normal(), exponent));
        }
        x.push_back(std::move(row));
      }
      for (size_t i = 0; i < x.size(); ++i) {
        rows[i] = x[i].data();
      }
      const auto size = static_cast<size_t>(NumSplitTiles(cols) * kSplitTileSize);
      std::vector<bf16> expected(size);
      std::vector<bf16> actual(size, bf16{77});
      ScalarTileLanes().split_group(rows, count, cols, expected.data());
      Avx512TileLanes().split_group(rows, count, cols, actual.data());
      EXPECT_TRUE(SameBits(actual, expected)) << count << " rows of " << cols;
    }
  }
}

TEST_F(Avx512TileLanesTest, WidenEveryFp8NumberAsDefined) {
  for (const auto& [num_rows, num_cols] :
       {std::pair<int64_t, int64_t>{16, 32}, {16, 5}, {7, 32}, {1, 1}}) {
    for (int64_t shift = 0; shift < 256; shift += 32) {
      const int64_t stride = num_cols + 3;
      std::vector<fp8_e4m3> x;
      for (int64_t i = 0; i < (num_rows - 1) * stride + num_cols; ++i) {
        x.push_back({static_cast<uint8_t>(i + shift)});
      }
      std::vector<bf16> expected(kSplitTileSize);
      std::vector<bf16> actual(kSplitTileSize, bf16{77});
      ScalarTileLanes().widen_fp8(x.data(), stride, num_rows, num_cols, expected.data());
      Avx512TileLanes().widen_fp8(x.data(), stride, num_rows, num_cols, actual.data());
      for (size_t i = 0; i < expected.size(); ++i) {
        EXPECT_TRUE(actual[i].bits == expected[i].bits ||
                    (std::isnan(ToFloat(actual[i])) && std::isnan(ToFloat(expected[i]))));
      }
    }
  }
}

TEST_F(Avx512TileLanesTest, AddPartsAsDefined) {
  self_test::Random random(3);
  std::array<float, 256> tile = {};
  for (float& value : tile) {
    value = random.Normal();
  }
  std::vector<float> expected(kSplitInputs * kTileRows);
  std::vector<float> actual = expected;
  ScalarTileLanes().add_parts(tile.data(), expected.data());
  Avx512TileLanes().add_parts(tile.data(), actual.data());
  EXPECT_TRUE(test::HasSameBits(actual, expected));
}

#endif  // __x86_64__

}  // namespace
}  // namespace hadal::cpu
