#include "kernels/mla_attention.h"

#include "kernels/cuda/attention/plan.h"
#include "kernels/quantization/panels.h"
#include "kernels/self_test/attention_bounds.h"
#include "kernels/self_test/mla_attention.h"
#include "tests/support/compare.h"
#include "tests/support/emulated_table.h"
#include "tests/support/kernel_runner.h"

namespace hadal {
namespace {

using Shape = self_test::MlaAttentionShape;

// Contexts around the block and the tile, decode steps, chunks and whole prompts; head counts and
// widths that nothing divides, and the published widths.
std::vector<Shape> Shapes() {
  return {
      {3, 24, 16, 48, 20, 64, {{1, 1}, {63, 2}, {64, 1}, {65, 5}, {200, 3}}},
      {16, 8, 4, 16, 8, 16, {{65, 65}, {5, 1}, {33, 17}}},
      {1, 1, 2, 1, 1, 1, {{1, 1}, {2, 2}}},
      {4, 10, 6, 19, 13, 64, {{130, 70}, {64, 64}, {3, 0}}},
      {5, 24, 16, 48, 20, 8, {{0, 0}, {70, 1}, {9, 9}}},
      {2, 128, 64, 512, 128, 64, {{66, 2}}},
      {2, 8, 4, 16, 8, 64, {}},
      // Around the splits of a context, which grow beyond 4096 positions.
      {17, 4, 2, 8, 3, 64, {{511, 2}, {512, 1}, {1, 1}, {513, 4}, {257, 5}}},
      {2, 4, 2, 8, 3, 64, {{4097, 3}, {63, 1}, {255, 2}}},
      {1, 5, 2, 21, 3, 64, {{300, 70}, {1200, 40}}},
      {16, 4, 2, 37, 2, 64, {{530, 9}, {64, 3}, {65, 1}}},
      // A decode step: one query each, and a sequence that has none.
      {2, 4, 2, 8, 3, 64, {{4097, 1}, {0, 0}, {1, 1}, {63, 1}, {64, 1}, {65, 1}}},
      // More queries than are run at a time.
      {128, 2, 2, 4, 2, 16, {{70, 70}, {9, 3}}},
  };
}

// Widths that tensor cores take with cache rows in bf16, and some of them with scales.
// The last are those of published models.
std::vector<Shape> TileShapes() {
  return {
      {3, 64, 64, 64, 64, 64, {{1, 1}, {63, 2}, {64, 1}, {65, 5}, {513, 2}}},
      {16, 64, 64, 128, 64, 16, {{1100, 1}, {65, 3}}},
      {1, 128, 64, 192, 64, 64, {{130, 33}, {0, 0}, {5, 5}}},
      {20, 64, 64, 512, 128, 64, {{66, 2}, {1, 1}, {3, 0}}},
      {3, 64, 64, 448, 64, 16, {{530, 1}, {70, 3}}},
      {2, 128, 64, 512, 128, 64, {{70, 18}, {5, 1}}},
  };
}

// Holds calls to what they may read and write.
class Problem : public self_test::MlaAttentionProblem {
 public:
  using MlaAttentionProblem::MlaAttentionProblem;

  std::vector<float> Run(const KernelTable& table, test::KernelRunner& runner, MlaForm form) {
    Reset();
    const std::string q_before = q_.Bytes();
    table.mla_attention(Args(form), runner.context);
    EXPECT_TRUE(GuardsIntact());
    EXPECT_TRUE(q_.Bytes() == q_before);
    return Outputs();
  }

  // The same for query token `t` of `sequence` alone.
  std::vector<float> RunAlone(const KernelTable& table,
                              test::KernelRunner& runner,
                              int64_t sequence,
                              int64_t t) {
    const std::vector<int32_t> starts = {0, 1};
    MlaAttentionArgs args = Args(MlaForm::kAbsorbed);
    args.q = args.q.Slice(t, 1);
    args.query_starts = MakeView(starts.data(), 2);
    args.block_tables = args.block_tables.Slice(sequence, 1);
    args.positions = args.positions.Slice(t, 1);
    args.out = args.out.Slice(t, 1);
    table.mla_attention(args, runner.context);
    return OfTokens(Outputs(), t, t + 1);
  }

  // The same with block tables of `max_blocks`, of which those behind a context are never read.
  std::vector<float> RunWithWideTables(const KernelTable& table,
                                       test::KernelRunner& runner,
                                       int64_t max_blocks) {
    MlaAttentionArgs args = Args(MlaForm::kAbsorbed);
    const TensorView<const int32_t, 2> narrow = args.block_tables;
    std::vector<int32_t> wide(static_cast<size_t>(narrow.extent(0) * max_blocks));
    for (int64_t s = 0; s < narrow.extent(0); ++s) {
      std::copy(narrow.Row(s).begin(), narrow.Row(s).end(), wide.begin() + s * max_blocks);
    }
    args.block_tables =
        MakeView(static_cast<const int32_t*>(wide.data()), narrow.extent(0), max_blocks);
    table.mla_attention(args, runner.context);
    return Outputs();
  }

  // The elements of `all` that belong to queries [begin, end).
  std::vector<float> OfTokens(const std::vector<float>& all, int64_t begin, int64_t end) const {
    const int64_t size = shape().num_heads * shape().v_head_dim;
    return {all.begin() + begin * size, all.begin() + end * size};
  }
};

class MlaAttentionParityTest : public test::ParityTest {
 protected:
  // Those that the weights allow. On GPUs all are one.
  [[nodiscard]] std::vector<MlaForm> Forms() const {
    if (GetParam().back_end.starts_with("cuda")) {
      return {MlaForm::kAbsorbed};
    }
    if (IsQuantized(GetParam().weights.format)) {
      return {MlaForm::kAbsorbed, MlaForm::kAuto};
    }
    return {MlaForm::kAbsorbed, MlaForm::kMaterialised, MlaForm::kAuto};
  }
};

class MlaAttentionTilesParityTest : public MlaAttentionParityTest {
 protected:
  // Of cache rows that matrix units take. CPUs have the same loops for rows with scales of any
  // width.
  [[nodiscard]] std::vector<DType> TileDTypes() const {
    if (GetParam().back_end.starts_with("cuda")) {
      return {DType::kBf16, DType::kI8, DType::kFp8E4m3};
    }
    return {DType::kBf16};
  }
};

TEST_P(MlaAttentionParityTest, AllShapesAndForms) {
  for (const Shape& shape : Shapes()) {
    for (const DType dtype : {DType::kF32, DType::kBf16, DType::kI8, DType::kFp8E4m3}) {
      Problem problem(GetParam().weights, shape, dtype);
      const std::vector<float> expected = problem.Run(reference_, *runners_[0], MlaForm::kAuto);
      const std::vector<double> tolerances =
          self_test::AttentionTolerances(problem.Args(MlaForm::kAuto));
      for (const MlaForm form : Forms()) {
        for (const auto& runner : runners_) {
          SCOPED_TRACE(testing::Message()
                       << shape.num_heads << " heads, rank " << shape.kv_lora_rank << ", cache "
                       << NameOf(dtype) << ", form " << static_cast<int>(form) << ", "
                       << runner->pool.num_threads() << " threads");
          EXPECT_TRUE(test::IsClose(problem.Run(table_, *runner, form), expected, tolerances));
        }
      }
    }
  }
}

// A token gets the same bits alone, beside others of its sequence and of other sequences, and on
// any number of threads.
TEST_P(MlaAttentionParityTest, AbsorbedBitsDoNotDependOnTheBatch) {
  for (const Shape& shape : Shapes()) {
    for (const DType dtype : {DType::kF32, DType::kBf16, DType::kI8, DType::kFp8E4m3}) {
      Problem problem(GetParam().weights, shape, dtype);
      const std::vector<float> expected = problem.Run(table_, *runners_[0], MlaForm::kAbsorbed);
      for (const auto& runner : runners_) {
        EXPECT_TRUE(test::HasSameBits(problem.Run(table_, *runner, MlaForm::kAbsorbed), expected));
      }
      int64_t t = 0;
      for (int64_t s = 0; s < std::ssize(shape.sequences); ++s) {
        const int64_t end = t + shape.sequences[static_cast<size_t>(s)].num_queries;
        for (; t < end; ++t) {
          EXPECT_TRUE(test::HasSameBits(problem.RunAlone(table_, *runners_[1], s, t),
                                        problem.OfTokens(expected, t, t + 1)));
        }
      }
    }
  }
}

TEST_P(MlaAttentionTilesParityTest, ShapesAloneAndTogether) {
  for (const Shape& shape : TileShapes()) {
    for (const DType dtype : TileDTypes()) {
      Problem problem(GetParam().weights, shape, dtype);
      const std::vector<float> expected = problem.Run(reference_, *runners_[0], MlaForm::kAuto);
      const std::vector<float> actual = problem.Run(table_, *runners_[1], MlaForm::kAbsorbed);
      EXPECT_TRUE(test::IsClose(
          actual, expected, self_test::AttentionTolerances(problem.Args(MlaForm::kAuto))));
      int64_t t = 0;
      for (int64_t s = 0; s < std::ssize(shape.sequences); ++s) {
        const int64_t end = t + shape.sequences[static_cast<size_t>(s)].num_queries;
        for (; t < end; ++t) {
          EXPECT_TRUE(test::HasSameBits(problem.RunAlone(table_, *runners_[1], s, t),
                                        problem.OfTokens(actual, t, t + 1)));
        }
      }
    }
  }
}

// On GPUs, tables so wide that the scratch of three tokens is all that there may be: cuts lie
// inside sequences and between them.
TEST_P(MlaAttentionParityTest, BitsDoNotDependOnSlices) {
  const Shape shape = {16, 64, 64, 512, 64, 64, {{66, 4}, {0, 0}, {1, 1}, {9, 3}}};
  int64_t max_blocks = 1;
  const auto tokens_at_once = [&] {
    return cuda::TokensAtOnce(cuda::ScratchBytesOfToken(
        shape.num_heads, cuda::NumParts(max_blocks * shape.block_size), shape.kv_lora_rank, 64));
  };
  while (tokens_at_once() > 3) {
    max_blocks += cuda::kPartPositions / shape.block_size;
  }
  ASSERT_EQ(tokens_at_once(), 3);
  Problem problem(GetParam().weights, shape, DType::kBf16);
  const std::vector<float> expected = problem.Run(table_, *runners_[1], MlaForm::kAbsorbed);
  problem.Reset();
  EXPECT_TRUE(
      test::HasSameBits(problem.RunWithWideTables(table_, *runners_[1], max_blocks), expected));
}

// Tokens [0, 2) are of sequence 0, [2, 7) of sequence 1 at positions 65 to 69, [7, 8) of
// sequence 2.
const Shape kThreeSequences = {3, 24, 16, 48, 20, 64, {{40, 2}, {70, 5}, {64, 1}}};

const Shape kThreeSequencesInTiles = {3, 64, 64, 448, 64, 64, {{40, 2}, {70, 5}, {64, 1}}};

// A NaN or an infinity in a row, at a column of the latent or in the roped key.
TEST_P(MlaAttentionTilesParityTest, ANonFiniteRowTouchesOnlyQueriesThatSeeIt) {
  for (const float value :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    for (const size_t column : {0, 447, 460}) {
      for (const DType dtype : TileDTypes()) {
        Problem problem(GetParam().weights, kThreeSequencesInTiles, dtype);
        const std::vector<float> clean = problem.Run(table_, *runners_[1], MlaForm::kAbsorbed);
        problem.SetCacheElement(1, 67, column, value);
        const std::vector<float> actual = problem.Run(table_, *runners_[1], MlaForm::kAbsorbed);
        EXPECT_TRUE(
            test::HasSameBits(problem.OfTokens(actual, 0, 4), problem.OfTokens(clean, 0, 4)));
        EXPECT_TRUE(
            test::HasSameBits(problem.OfTokens(actual, 7, 8), problem.OfTokens(clean, 7, 8)));
        if (std::isnan(value)) {
          for (const float element : problem.OfTokens(actual, 4, 7)) {
            EXPECT_TRUE(std::isnan(element));
          }
        }
      }
    }
  }
}

TEST_P(MlaAttentionParityTest, ANanRowTouchesOnlyQueriesThatSeeIt) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  for (const DType dtype : {DType::kF32, DType::kBf16, DType::kI8, DType::kFp8E4m3}) {
    for (const MlaForm form : Forms()) {
      for (const size_t column : {0, 47, 50}) {
        Problem problem(GetParam().weights, kThreeSequences, dtype);
        const std::vector<float> clean = problem.Run(table_, *runners_[1], form);
        problem.SetCacheElement(1, 67, column, kNan);
        const std::vector<float> actual = problem.Run(table_, *runners_[1], form);
        EXPECT_TRUE(
            test::HasSameBits(problem.OfTokens(actual, 0, 4), problem.OfTokens(clean, 0, 4)));
        EXPECT_TRUE(
            test::HasSameBits(problem.OfTokens(actual, 7, 8), problem.OfTokens(clean, 7, 8)));
        for (const float value : problem.OfTokens(actual, 4, 7)) {
          EXPECT_TRUE(std::isnan(value));
        }
      }
    }
  }
}

// Scores of ±1e4 and more: the softmax is all but one-hot, and nothing overflows.
TEST_P(MlaAttentionParityTest, ExtremeScoresStayFinite) {
  for (const float softmax_scale : {-2000.0F, 2000.0F}) {
    Problem problem(GetParam().weights, kThreeSequences, DType::kBf16);
    problem.softmax_scale = softmax_scale;
    const std::vector<float> expected = problem.Run(reference_, *runners_[0], MlaForm::kAuto);
    const std::vector<double> tolerances =
        self_test::AttentionTolerances(problem.Args(MlaForm::kAuto));
    for (const MlaForm form : Forms()) {
      const std::vector<float> actual = problem.Run(table_, *runners_[1], form);
      EXPECT_TRUE(std::all_of(
          actual.begin(), actual.end(), [](float value) { return std::isfinite(value); }));
      EXPECT_TRUE(test::IsClose(actual, expected, tolerances));
    }
  }
}

#ifdef HADAL_SANITIZED
constexpr bool kIsSanitized = true;
#else
constexpr bool kIsSanitized = false;
#endif

// The emulated GPU and sanitizers take their time. Weights that no matrix instruction takes go
// through one function, which the tests of other ops see in every format.
std::vector<test::ParityCase> AttentionCases(const std::vector<WeightFormat>& slow_formats) {
  std::vector<test::ParityCase> cases = test::ParityCases();
  std::erase_if(cases, [&](const test::ParityCase& parity_case) {
    const self_test::WeightSpec& weights = parity_case.weights;
    const bool is_among = std::count(slow_formats.begin(), slow_formats.end(), weights.format) > 0;
    const bool is_odd_fp8 = weights.format == WeightFormat::kFp8Block && weights.block_rows != 128;
    const bool is_slow = kIsSanitized || parity_case.back_end == test::kEmulatedCudaName;
    return is_slow && (!is_among || is_odd_fp8);
  });
  return cases;
}

INSTANTIATE_TEST_SUITE_P(BackEnds,
                         MlaAttentionParityTest,
                         testing::ValuesIn(AttentionCases({WeightFormat::kBf16,
                                                           WeightFormat::kInt8})),
                         test::NameOfParam);
INSTANTIATE_TEST_SUITE_P(BackEnds,
                         MlaAttentionTilesParityTest,
                         testing::ValuesIn(AttentionCases(
                             {WeightFormat::kBf16, WeightFormat::kInt8, WeightFormat::kFp8Block})),
                         test::NameOfParam);

}  // namespace
}  // namespace hadal
