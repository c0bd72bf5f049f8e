#include "kernels/cpu/panel/panel_kernels.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/cpu/panel/panel_product.h"
#include "kernels/cpu/vector_kernels.h"
#include "kernels/self_test/random_tensors.h"
#include "tests/kernels/cpu/emulated_panels.h"
#include "tests/support/compare.h"

namespace hadal::cpu {
namespace {

// All that this machine can run; those with fused multiply-add first.
std::vector<PanelKernels> FusedPanels() {
  std::vector<PanelKernels> all = {EmulatedPanels()};
  for (const Isa isa : {Isa::kAvx2, Isa::kAvx512, Isa::kAmx}) {
    if (IsSupported(isa)) {
      all.push_back(VectorKernelsOf(isa).panels());
    }
  }
  return all;
}

// Random input rows and weights, and what a tile needs of them.
class Problem {
 public:
  Problem(WeightFormat format, int64_t num_inputs, int64_t num_panels, int64_t cols)
      : random_(static_cast<uint32_t>(num_inputs * 1000 + cols)),
        weight_(self_test::WeightBuffer::MakeRandom(
            {.format = format}, num_panels * kPanelRows, cols, random_)),
        values_(static_cast<size_t>(num_inputs * Stride())),
        scales_(static_cast<size_t>(num_inputs * NumGroups(cols))),
        sums_(values_.size() / kSubgroupCols) {
    std::vector<float> x(static_cast<size_t>(cols));
    for (int64_t t = 0; t < num_inputs; ++t) {
      for (float& value : x) {
        value = random_.Normal();
      }
      RoundToInt8(x,
                  values_.data() + t * Stride(),
                  scales_.data() + t * NumGroups(cols),
                  sums_.data() + t * Stride() / kSubgroupCols);
    }
  }

  [[nodiscard]] std::vector<float> Run(const PanelKernels& kernels) {
    const WeightMatrix& weight = weight_.matrix();
    const Int8Rows x = {.values = values_.data(),
                        .scales = scales_.data(),
                        .sums = sums_.data(),
                        .values_stride = Stride(),
                        .scales_stride = NumGroups(weight.cols),
                        .sums_stride = Stride() / kSubgroupCols,
                        .count = static_cast<int64_t>(values_.size()) / Stride()};
    PanelSums sums = {};
    MultiplyPanels(kernels, x, weight, 0, NumPanels(weight.rows), sums);
    std::vector<float> y;
    for (size_t t = 0; t < static_cast<size_t>(x.count); ++t) {
      y.insert(y.end(), sums[t].begin(), sums[t].end());
    }
    return y;
  }

  // From the definitions in double.
  [[nodiscard]] std::vector<float> Expected() const {
    const WeightMatrix& weight = weight_.matrix();
    const auto count = static_cast<int64_t>(values_.size()) / Stride();
    std::vector<float> y(static_cast<size_t>(count * kTileRows), 0.0F);
    for (int64_t t = 0; t < count; ++t) {
      for (int64_t row = 0; row < weight.rows; ++row) {
        double sum = 0;
        for (int64_t i = 0; i < weight.cols; ++i) {
          const float scale =
              scales_[static_cast<size_t>(t * NumGroups(weight.cols) + i / kGroupCols)];
          sum += double{WeightAt(weight, row, i)} * double{scale} *
                 values_[static_cast<size_t>(t * Stride() + i)];
        }
        y[static_cast<size_t>(t * kTileRows + row)] = static_cast<float>(sum);
      }
    }
    return y;
  }

 private:
  [[nodiscard]] int64_t Stride() const { return PaddedCols(weight_.matrix().cols); }

  self_test::Random random_;
  self_test::WeightBuffer weight_;
  std::vector<int8_t> values_;
  std::vector<float> scales_;
  std::vector<int32_t> sums_;
};

class PanelKernelsTest : public testing::TestWithParam<WeightFormat> {};

TEST_P(PanelKernelsTest, EqualTheDefinitionAndEachOther) {
  for (const int64_t num_inputs : {1, 2, 3, 4, 5, 6, 7, 12, 16, 17, 31, 32, 33, 48}) {
    for (const int64_t num_panels : {1, 2, 3, 4}) {
      for (const int64_t cols : {1, 64, 128, 190, 320, 700}) {
        Problem problem(GetParam(), num_inputs, num_panels, cols);
        const std::vector<float> expected = problem.Expected();
        const std::vector<double> tolerances(expected.size(), 4e-6);
        const std::vector<float> first = problem.Run(FusedPanels().front());
        EXPECT_TRUE(test::IsClose(problem.Run(PortablePanels()), expected, tolerances));
        EXPECT_TRUE(test::IsClose(first, expected, tolerances));
        for (const PanelKernels& kernels : FusedPanels()) {
          EXPECT_TRUE(test::HasSameBits(problem.Run(kernels), first))
              << kernels.name << ", " << num_inputs << " x " << num_panels << " panels x " << cols;
        }
      }
    }
  }
}

// The extremes of every integer at once: no sum may overflow or saturate, whichever signs meet.
TEST_P(PanelKernelsTest, LargestNumbersDoNotOverflow) {
  constexpr int64_t kCols = 256;
  constexpr int64_t kInputs = 9;
  for (const float weight_value : {-3.0F, 3.0F}) {
    const self_test::WeightBuffer weight({.format = GetParam()},
                                         kPanelRows,
                                         kCols,
                                         std::vector<float>(kPanelRows * kCols, weight_value));
    for (const uint32_t negative : {0x0U, 0xFU, 0x3U, 0xCU, 0x5U}) {  // of every 4 columns
      std::vector<int8_t> values;
      int32_t sum = 0;  // of 4
      for (uint32_t i = 0; i < kInputs * kCols; ++i) {
        values.push_back((negative >> i % 4 & 1U) != 0 ? int8_t{-127} : int8_t{127});
        sum += i < 4 ? values.back() : 0;
      }
      const std::vector<float> scales(kInputs * NumGroups(kCols), 1.0F);
      const std::vector<int32_t> sums(kInputs * kCols / kSubgroupCols, sum * kSubgroupCols / 4);
      const Int8Rows x = {.values = values.data(),
                          .scales = scales.data(),
                          .sums = sums.data(),
                          .values_stride = kCols,
                          .scales_stride = NumGroups(kCols),
                          .sums_stride = kCols / kSubgroupCols,
                          .count = kInputs};
      const float exact = weight_value * static_cast<float>(sum) * kCols / 4;
      for (const PanelKernels& kernels : FusedPanels()) {
        PanelSums y = {};
        MultiplyPanels(kernels, x, weight.matrix(), 0, 1, y);
        EXPECT_NEAR(y[8][15], exact, std::abs(exact) * 0.01F + 1) << kernels.name;
      }
    }
  }
}

TEST(RoundRowTest, EveryBackEndRoundsAlike) {
  self_test::Random random(9);
  for (const size_t cols : {1, 127, 128, 300, 640}) {
    for (const float special : {1.0F, 0.0F, 1e-39F, INFINITY, NAN}) {
      std::vector<float> x(cols);
      for (float& value : x) {
        value = random.Normal() * special;
      }
      const auto padded = static_cast<size_t>(PaddedCols(std::ssize(x)));
      std::vector<int8_t> values(padded);
      std::vector<float> scales(static_cast<size_t>(NumGroups(std::ssize(x))));
      std::vector<int32_t> sums(padded / kSubgroupCols);
      RoundToInt8(x, values.data(), scales.data(), sums.data());
      for (const PanelKernels& kernels : FusedPanels()) {
        std::vector<int8_t> other_values(values.size(), int8_t{77});
        std::vector<float> other_scales(scales.size());
        std::vector<int32_t> other_sums(sums.size());
        kernels.round_row(x, other_values.data(), other_scales.data(), other_sums.data());
        EXPECT_EQ(other_values, values);
        EXPECT_TRUE(test::HasSameBits(other_scales, scales));
        EXPECT_EQ(other_sums, sums);
      }
    }
  }
}

std::string NameOfFormat(const testing::TestParamInfo<WeightFormat>& format) {
  return format.param == WeightFormat::kInt8 ? "Int8" : "Int4";
}

INSTANTIATE_TEST_SUITE_P(Formats,
                         PanelKernelsTest,
                         testing::Values(WeightFormat::kInt8, WeightFormat::kInt4),
                         NameOfFormat);

}  // namespace
}  // namespace hadal::cpu
