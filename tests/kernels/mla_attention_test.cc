#include "kernels/mla_attention.h"

#include "tests/support/attention_bounds.h"
#include "tests/support/cache_buffer.h"
#include "tests/support/compare.h"
#include "tests/support/kernel_runner.h"

namespace hadal {
namespace {

// A sequence's last `num_queries` of `context_len` tokens are queries.
struct Sequence {
  int64_t context_len;
  int64_t num_queries;
};

struct Shape {
  int64_t num_heads;
  int64_t nope_dim;
  int64_t rope_dim;
  int64_t kv_lora_rank;
  int64_t v_head_dim;
  int64_t block_size;
  std::vector<Sequence> sequences;
};

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
  };
}

class Problem {
 public:
  Problem(const test::WeightSpec& spec, const Shape& shape, DType dtype)
      : shape_(shape),
        random_(static_cast<uint32_t>(shape.num_heads * 101 + shape.kv_lora_rank)),
        num_tokens_(NumTokens(shape)),
        q_(num_tokens_, shape.num_heads, shape.nope_dim + shape.rope_dim),
        cache_(
            dtype, 2 * NumBlocks(shape) + 1, shape.block_size, shape.kv_lora_rank + shape.rope_dim),
        query_starts_(std::ssize(shape.sequences) + 1),
        block_tables_(std::ssize(shape.sequences), NumBlocks(shape) + 1),
        positions_(num_tokens_),
        kv_b_proj_(
            test::WeightBuffer::MakeRandom(spec,
                                           shape.num_heads * (shape.nope_dim + shape.v_head_dim),
                                           shape.kv_lora_rank,
                                           random_)),
        out_(num_tokens_, shape.num_heads, shape.v_head_dim) {
    q_.Fill([this] { return random_.Normal(); });
    FillSequences();
  }

  MlaAttentionArgs Args(MlaForm form) {
    return {.q = q_.input(),
            .cache = cache_.cache(),
            .query_starts = query_starts_.input(),
            .block_tables = block_tables_.input(),
            .positions = positions_.input(),
            .kv_b_proj = kv_b_proj_.matrix(),
            .kv_lora_rank = shape_.kv_lora_rank,
            .v_head_dim = shape_.v_head_dim,
            .softmax_scale = softmax_scale,
            .form = form,
            .out = out_.view()};
  }

  std::vector<float> Run(const KernelTable& table, test::KernelRunner& runner, MlaForm form) {
    out_.Poison();
    const std::string q_before = q_.Bytes();
    table.mla_attention(Args(form), runner.context);
    EXPECT_TRUE(out_.GuardsIntact());
    EXPECT_TRUE(q_.Bytes() == q_before);
    return out_.Elements();
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
    return OfTokens(out_.Elements(), t, t + 1);
  }

  // Overwrites one element of the cache row at `position` of `sequence`.
  void SetCacheElement(int64_t sequence, int64_t position, size_t column, float value) {
    const int64_t slot = SlotOf(sequence, position);
    std::vector<float> row = cache_.Row(slot);
    row[column] = value;
    cache_.SetRow(slot, row);
  }

  // The elements of `all` that belong to queries [begin, end).
  std::vector<float> OfTokens(const std::vector<float>& all, int64_t begin, int64_t end) const {
    const int64_t size = shape_.num_heads * shape_.v_head_dim;
    return {all.begin() + begin * size, all.begin() + end * size};
  }

  float softmax_scale = 0.135F;

 private:
  static int64_t NumTokens(const Shape& shape) {
    int64_t count = 0;
    for (const Sequence& sequence : shape.sequences) {
      count += sequence.num_queries;
    }
    return count;
  }
  static int64_t NumBlocks(const Shape& shape) {
    int64_t count = 0;
    for (const Sequence& sequence : shape.sequences) {
      count += (sequence.context_len + shape.block_size - 1) / shape.block_size;
    }
    return count;
  }

  int64_t SlotOf(int64_t sequence, int64_t position) const {
    return block_tables_.view()(sequence, position / shape_.block_size) * shape_.block_size +
           position % shape_.block_size;
  }

  // Blocks come in random order out of twice as many; what no sequence wrote stays NaN, and unused
  // places of the block tables stay out of range.
  void FillSequences() {
    const std::vector<int32_t> blocks = random_.Permutation(2 * NumBlocks(shape_) + 1);
    size_t next_block = 0;
    int32_t next_token = 0;
    query_starts_.view()(0) = 0;
    for (int64_t i = 0; i < std::ssize(shape_.sequences); ++i) {
      const Sequence& sequence = shape_.sequences[static_cast<size_t>(i)];
      for (int64_t position = 0; position < sequence.context_len; ++position) {
        if (position % shape_.block_size == 0) {
          block_tables_.view()(i, position / shape_.block_size) = blocks[next_block++];
        }
        std::vector<float> row;
        for (int64_t j = 0; j < shape_.kv_lora_rank + shape_.rope_dim; ++j) {
          row.push_back(random_.Normal());
        }
        cache_.SetRow(SlotOf(i, position), row);
      }
      for (int64_t j = 0; j < sequence.num_queries; ++j) {
        positions_.view()(next_token++) =
            static_cast<int32_t>(sequence.context_len - sequence.num_queries + j);
      }
      query_starts_.view()(i + 1) = next_token;
    }
  }

  Shape shape_;
  test::Random random_;
  int64_t num_tokens_;
  test::GuardedTensor<float, 3> q_;
  test::CacheBuffer cache_;
  test::GuardedTensor<int32_t, 1> query_starts_;
  test::GuardedTensor<int32_t, 2> block_tables_;
  test::GuardedTensor<int32_t, 1> positions_;
  test::WeightBuffer kv_b_proj_;
  test::GuardedTensor<float, 3> out_;
};

constexpr std::array kForms = {MlaForm::kAbsorbed, MlaForm::kMaterialised, MlaForm::kAuto};

class MlaAttentionParityTest : public test::ParityTest {};

TEST_P(MlaAttentionParityTest, AllShapesAndForms) {
  for (const Shape& shape : Shapes()) {
    for (const DType dtype : {DType::kF32, DType::kBf16}) {
      Problem problem(GetParam().weights, shape, dtype);
      const std::vector<float> expected = problem.Run(reference_, *runners_[0], MlaForm::kAuto);
      const std::vector<double> tolerances =
          test::AttentionTolerances(problem.Args(MlaForm::kAuto));
      for (const MlaForm form : kForms) {
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
    for (const DType dtype : {DType::kF32, DType::kBf16}) {
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

// Tokens [0, 2) are of sequence 0, [2, 7) of sequence 1 at positions 65 to 69, [7, 8) of
// sequence 2.
const Shape kThreeSequences = {3, 24, 16, 48, 20, 64, {{40, 2}, {70, 5}, {64, 1}}};

TEST_P(MlaAttentionParityTest, ANanRowTouchesOnlyQueriesThatSeeIt) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  for (const DType dtype : {DType::kF32, DType::kBf16}) {
    for (const MlaForm form : kForms) {
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
    const std::vector<double> tolerances = test::AttentionTolerances(problem.Args(MlaForm::kAuto));
    for (const MlaForm form : kForms) {
      const std::vector<float> actual = problem.Run(table_, *runners_[1], form);
      EXPECT_TRUE(std::all_of(
          actual.begin(), actual.end(), [](float value) { return std::isfinite(value); }));
      EXPECT_TRUE(test::IsClose(actual, expected, tolerances));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(BackEnds,
                         MlaAttentionParityTest,
                         testing::ValuesIn(test::ParityCases()),
                         test::NameOfParam);

}  // namespace
}  // namespace hadal
