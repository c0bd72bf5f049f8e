#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/cpu/attention/amx_lanes.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/vector_kernels.h"
#include "kernels/self_test/attention_bounds.h"
#include "kernels/self_test/mla_attention.h"
#include "tests/kernels/cpu/emulated_lanes.h"
#include "tests/kernels/cpu/emulated_simd.h"
#include "tests/kernels/cpu/emulated_tiles.h"
#include "tests/support/compare.h"
#include "tests/support/kernel_runner.h"

namespace hadal::cpu {
namespace {

using Shape = self_test::MlaAttentionShape;

// The loops of cpu-amx on emulated tiles, with vectors of its own or emulated ones; the rest of
// cpu-portable.
enum class Vectors : int8_t { kEmulated, kAvx512 };

VectorKernels KernelsWith(Vectors vectors) {
  VectorKernels kernels = PortableKernels();
  kernels.lanes = &AmxLanes<EmulatedTiles<void>, EmulatedSimd>::KernelsOf;
#ifdef __x86_64__
  if (vectors == Vectors::kAvx512) {
    kernels.lanes = &EmulatedAvx512Lanes;
  }
#endif
  return kernels;
}

std::vector<Vectors> AllVectors() {
  if (IsSupported(Isa::kAvx512)) {
    return {Vectors::kEmulated, Vectors::kAvx512};
  }
  return {Vectors::kEmulated};
}

class AmxAttentionTest : public testing::TestWithParam<Vectors> {
 protected:
  VectorKernels kernels_ = KernelsWith(GetParam());
};

// Contexts around tiles, splits and blocks, which are in random order; decode steps and chunks;
// head counts that leave lanes without a query, and make tiles of lanes that see different rows;
// widths with and without an odd group of columns.
std::vector<Shape> Shapes() {
  return {
      {16, 8, 32, 64, 8, 64, {{1, 1}, {63, 1}, {64, 1}, {65, 1}, {257, 1}}},
      {3, 8, 32, 96, 8, 64, {{1, 1}, {63, 2}, {64, 1}, {65, 5}, {257, 3}}},
      {16, 8, 32, 32, 8, 8, {{150, 150}, {5, 1}, {33, 17}}},
      {5, 8, 64, 64, 8, 7, {{130, 70}, {300, 40}, {0, 0}, {3, 0}}},
      {40, 8, 32, 64, 8, 16, {{100, 9}}},
      {1, 8, 32, 32, 8, 64, {{4097, 2}, {70, 3}}},
  };
}

class Problem : public self_test::MlaAttentionProblem {
 public:
  explicit Problem(const Shape& shape, WeightFormat format = WeightFormat::kF32)
      : MlaAttentionProblem({.format = format}, shape, DType::kBf16) {}

  std::vector<float> Run(const VectorKernels& kernels, int32_t num_threads) {
    Reset();
    test::KernelRunner runner(num_threads);
    MlaAttention(kernels, Args(MlaForm::kAbsorbed), runner.context);
    EXPECT_TRUE(GuardsIntact());
    return Outputs();
  }

  // Query tokens [t, t + count) of `sequence` alone.
  std::vector<float> RunPart(const VectorKernels& kernels,
                             int64_t sequence,
                             int64_t t,
                             int32_t count) {
    const std::vector<int32_t> starts = {0, count};
    MlaAttentionArgs args = Args(MlaForm::kAbsorbed);
    args.q = args.q.Slice(t, count);
    args.query_starts = MakeView(starts.data(), 2);
    args.block_tables = args.block_tables.Slice(sequence, 1);
    args.positions = args.positions.Slice(t, count);
    args.out = args.out.Slice(t, count);
    Reset();
    test::KernelRunner runner(1);
    MlaAttention(kernels, args, runner.context);
    return OfTokens(Outputs(), t, t + count);
  }

  [[nodiscard]] std::vector<float> Expected() {
    Reset();
    test::KernelRunner runner(1);
    test::TableOf("reference").mla_attention(Args(MlaForm::kAbsorbed), runner.context);
    return Outputs();
  }

  // The elements of `all` that belong to queries [begin, end).
  [[nodiscard]] std::vector<float> OfTokens(const std::vector<float>& all,
                                            int64_t begin,
                                            int64_t end) const {
    const int64_t size = shape().num_heads * shape().v_head_dim;
    return {all.begin() + begin * size, all.begin() + end * size};
  }
};

TEST_P(AmxAttentionTest, EqualsTheFormula) {
  for (const Shape& shape : Shapes()) {
    Problem problem(shape);
    const std::vector<double> tolerances =
        self_test::AttentionTolerances(problem.Args(MlaForm::kAbsorbed));
    EXPECT_TRUE(test::IsClose(problem.Run(kernels_, 1), problem.Expected(), tolerances))
        << shape.num_heads << " heads, rank " << shape.kv_lora_rank;
  }
}

TEST_P(AmxAttentionTest, PublishedWidths) {
  const Shape shape = {16, 128, 64, 512, 128, 64, {{66, 1}, {30, 2}}};
  for (const WeightFormat format : {WeightFormat::kBf16, WeightFormat::kInt8}) {
    Problem problem(shape, format);
    const std::vector<double> tolerances =
        self_test::AttentionTolerances(problem.Args(MlaForm::kAbsorbed));
    EXPECT_TRUE(test::IsClose(problem.Run(kernels_, 2), problem.Expected(), tolerances));
  }
}

// A token gets the same bits alone, in chunks, beside others of its sequence and of other
// sequences, and on any number of threads.
TEST_P(AmxAttentionTest, BitsDoNotDependOnTheBatch) {
  for (const Shape& shape : Shapes()) {
    Problem problem(shape);
    const std::vector<float> expected = problem.Run(kernels_, 1);
    EXPECT_TRUE(test::HasSameBits(problem.Run(kernels_, 2), expected));
    EXPECT_TRUE(test::HasSameBits(problem.Run(kernels_, 5), expected));
    int64_t t = 0;
    for (int64_t s = 0; s < std::ssize(shape.sequences); ++s) {
      const int64_t end = t + shape.sequences[static_cast<size_t>(s)].num_queries;
      for (int32_t chunk = 1; t < end; t += chunk, chunk = chunk % 7 + 2) {
        chunk = static_cast<int32_t>(std::min<int64_t>(chunk, end - t));
        EXPECT_TRUE(test::HasSameBits(problem.RunPart(kernels_, s, t, chunk),
                                      problem.OfTokens(expected, t, t + chunk)));
      }
    }
  }
}

// Tokens [0, 2) are of sequence 0, [2, 42) of sequence 1 at positions 40 to 79, [42, 43) of
// sequence 2.
TEST_P(AmxAttentionTest, ABadRowTouchesOnlyQueriesThatSeeIt) {
  const Shape shape = {3, 8, 32, 64, 8, 64, {{40, 2}, {80, 40}, {64, 1}}};
  const std::vector<float> clean = Problem(shape).Run(kernels_, 1);
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(),
                          std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity()}) {
    for (const int64_t position : {0, 45, 67, 79}) {
      for (const size_t column : {0, 63, 70}) {
        Problem problem(shape);
        problem.SetCacheElement(1, position, column, bad);
        const std::vector<float> actual = problem.Run(kernels_, 2);
        const int64_t first = std::max<int64_t>(2 + position - 40, 2);  // that sees it
        EXPECT_TRUE(test::HasSameBits(problem.OfTokens(actual, 0, first),
                                      problem.OfTokens(clean, 0, first)));
        EXPECT_TRUE(
            test::HasSameBits(problem.OfTokens(actual, 42, 43), problem.OfTokens(clean, 42, 43)));
        // A score of -infinity is a weight of 0, which only the key may have.
        const bool is_value = column < 64;
        for (const float value : problem.OfTokens(actual, first, 42)) {
          EXPECT_TRUE(!(is_value || std::isnan(bad)) || std::isnan(value));
        }
      }
    }
  }
}

// Queries that are not finite touch nobody else, though all lanes of a tile are of one sequence.
TEST_P(AmxAttentionTest, ABadQueryTouchesNoOther) {
  const Shape shape = {3, 8, 32, 64, 8, 64, {{90, 7}}};
  Problem problem(shape);
  const std::vector<float> clean = problem.Run(kernels_, 1);
  const MlaAttentionArgs args = problem.Args(MlaForm::kAbsorbed);
  std::vector<float> q;
  for (int64_t t = 0; t < 7; ++t) {
    for (int64_t head = 0; head < 3; ++head) {
      const auto row = args.q.Row(t, head);
      q.insert(q.end(), row.begin(), row.end());
    }
  }
  q[(4 * 3 + 1) * 40 + 20] = std::numeric_limits<float>::infinity();
  MlaAttentionArgs other = args;
  other.q = MakeView<const float>(q.data(), 7, 3, 40);
  test::KernelRunner runner(1);
  problem.Reset();
  MlaAttention(kernels_, other, runner.context);
  const std::vector<float> actual = problem.Outputs();
  for (size_t i = 0; i < clean.size(); ++i) {
    if (i / 8 == 4 * 3 + 1) {
      EXPECT_TRUE(std::isnan(actual[i]));
    } else {
      EXPECT_EQ(actual[i], clean[i]);
    }
  }
}

TEST_P(AmxAttentionTest, ExtremeScoresStayFinite) {
  for (const float softmax_scale : {-2000.0F, 2000.0F}) {
    Problem problem({3, 8, 32, 64, 8, 64, {{40, 2}, {70, 5}, {64, 1}}});
    problem.softmax_scale = softmax_scale;
    const std::vector<double> tolerances =
        self_test::AttentionTolerances(problem.Args(MlaForm::kAbsorbed));
    EXPECT_TRUE(test::IsClose(problem.Run(kernels_, 1), problem.Expected(), tolerances));
  }
}

INSTANTIATE_TEST_SUITE_P(Vectors,
                         AmxAttentionTest,
                         testing::ValuesIn(AllVectors()),
                         [](const testing::TestParamInfo<Vectors>& vectors) {
                           return vectors.param == Vectors::kEmulated ? "Emulated" : "Avx512";
                         });

}  // namespace
}  // namespace hadal::cpu
