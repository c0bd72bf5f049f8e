// Elements whose index does not fit 32 bits, in memory of which only what is used exists. What lies
// there gives the bits that it gives nearby.

#include <algorithm>
#include <cstring>
#include <sys/mman.h>
#include <type_traits>

#include "kernels/quantization/panels.h"
#include "kernels/self_test/embedding.h"
#include "kernels/self_test/linear.h"
#include "kernels/self_test/mla_attention.h"
#include "kernels/self_test/mla_project.h"
#include "kernels/self_test/mlp.h"
#include "kernels/self_test/moe_experts.h"
#include "kernels/self_test/moe_route.h"
#include "kernels/self_test/rms_norm.h"
#include "kernels/self_test/sample.h"
#include "tests/support/compare.h"
#include "tests/support/emulated_table.h"
#include "tests/support/kernel_runner.h"

namespace hadal {
namespace {

constexpr int64_t kFar = int64_t{1} << 31;

// Zeros that take up address space alone until they are written.
class SparseMemory {
 public:
  explicit SparseMemory(int64_t size_bytes)
      : size_bytes_(static_cast<size_t>(size_bytes)),
        data_(mmap(nullptr,
                   size_bytes_,
                   PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1,
                   0)) {
    CHECK(data_ != MAP_FAILED);
  }
  SparseMemory(const SparseMemory&) = delete;
  SparseMemory& operator=(const SparseMemory&) = delete;
  ~SparseMemory() { munmap(data_, size_bytes_); }

  [[nodiscard]] std::byte* data() const { return static_cast<std::byte*>(data_); }

 private:
  size_t size_bytes_;
  void* data_;
};

// A copy of a tensor whose entries of the first dimension lie more than 2^31 elements apart.
template <typename Element, size_t Rank>
class FarTensor {
 public:
  using T = std::remove_const_t<Element>;

  explicit FarTensor(const TensorView<Element, Rank>& near)
      : entry_size_(near.num_elements() / near.extent(0)),
        memory_(((near.extent(0) - 1) * kStride + entry_size_) * int64_t{sizeof(T)}) {
    view_.data = reinterpret_cast<T*>(memory_.data());
    view_.extents = near.extents;
    view_.strides = near.strides;
    view_.strides[0] = kStride;
    for (int64_t i = 0; i < near.extent(0); ++i) {
      std::copy_n(near.data + i * near.strides[0], entry_size_, view_.data + i * kStride);
    }
  }

  [[nodiscard]] const TensorView<T, Rank>& view() const { return view_; }

  [[nodiscard]] std::vector<T> Elements() const {
    std::vector<T> elements;
    for (int64_t i = 0; i < view_.extent(0); ++i) {
      const T* entry = view_.data + i * kStride;
      elements.insert(elements.end(), entry, entry + entry_size_);
    }
    return elements;
  }

 private:
  static constexpr int64_t kStride = kFar + 3;

  int64_t entry_size_;
  SparseMemory memory_;
  TensorView<T, Rank> view_;
};

// A matrix of more than 2^31 elements with the rows of `near` at its end, its scales all 1.
class FarMatrix {
 public:
  explicit FarMatrix(const WeightMatrix& near)
      : begin_(FirstRow(near)), memory_(PayloadBytes(Resized(near, begin_ + near.rows))) {
    matrix_ = Resized(near, begin_ + near.rows);
    matrix_.payload = memory_.data();
    std::memcpy(memory_.data() + PayloadBytes(Resized(near, begin_)),
                near.payload,
                static_cast<size_t>(PayloadBytes(near)));
    if (near.format == WeightFormat::kFp8Block) {
      const auto ceil_div = [](int64_t a, int64_t b) { return (a + b - 1) / b; };
      scales_.assign(static_cast<size_t>(ceil_div(matrix_.rows, near.block_rows) *
                                         ceil_div(near.cols, near.block_cols)),
                     1.0F);
      matrix_.scales = scales_.data();
    }
  }

  // Where those of `near` begin.
  [[nodiscard]] int64_t begin() const { return begin_; }
  [[nodiscard]] const WeightMatrix& matrix() const { return matrix_; }

 private:
  static int64_t FirstRow(const WeightMatrix& near) {
    const int64_t multiple = std::max<int64_t>(near.block_rows, 1) * kPanelRows;
    return (kFar / near.cols / multiple + 1) * multiple;
  }
  static WeightMatrix Resized(WeightMatrix matrix, int64_t rows) {
    matrix.rows = rows;
    return matrix;
  }
  static int64_t PayloadBytes(const WeightMatrix& matrix) {
    return matrix.format == WeightFormat::kFp8Block ? matrix.rows * matrix.cols : SizeBytes(matrix);
  }

  int64_t begin_;
  SparseMemory memory_;
  std::vector<float> scales_;
  WeightMatrix matrix_;
};

// The cache of `near` behind so many blocks that its elements, and bytes, are beyond 2^31.
class FarCache {
 public:
  explicit FarCache(const LatentCache& near)
      : blocks_before_(kFar / (near.block_size * std::min(near.row_width, RowBytes(near))) + 1),
        near_(near),
        memory_((blocks_before_ + near.num_blocks) * near.block_size * RowBytes(near)) {
    std::memcpy(near_rows(), near.rows, NearBytes());
  }

  [[nodiscard]] LatentCache cache() const {
    LatentCache cache = near_;
    cache.rows = memory_.data();
    cache.num_blocks += blocks_before_;
    return cache;
  }
  [[nodiscard]] int64_t blocks_before() const { return blocks_before_; }

  // True when the rows behind those blocks are those of `near` now.
  [[nodiscard]] bool HasRowsOf(const LatentCache& near) const {
    return std::memcmp(near_rows(), near.rows, NearBytes()) == 0;
  }

 private:
  [[nodiscard]] std::byte* near_rows() const {
    return memory_.data() + blocks_before_ * near_.block_size * RowBytes(near_);
  }
  [[nodiscard]] size_t NearBytes() const {
    return static_cast<size_t>(near_.num_blocks * near_.block_size * RowBytes(near_));
  }

  int64_t blocks_before_;
  LatentCache near_;
  SparseMemory memory_;
};

std::vector<float> RandomValues(int64_t count) {
  self_test::Random random(1);
  std::vector<float> values(static_cast<size_t>(count));
  std::generate(values.begin(), values.end(), [&] { return random.Normal(); });
  return values;
}

// The reference as well, in every format: it is what others are held against. Not the GPU: its
// tables copy what lies between the elements too.
std::vector<test::ParityCase> WithReference(std::vector<test::ParityCase> cases) {
  std::erase_if(cases, [](const test::ParityCase& parity_case) {
    return parity_case.back_end == "cuda" || parity_case.back_end == test::kEmulatedCudaName;
  });
  const std::string back_end = cases.front().back_end;
  for (size_t i = 0; i < cases.size() && cases[i].back_end == back_end; ++i) {
    cases.push_back({.back_end = "reference", .weights = cases[i].weights});
  }
  return cases;
}

// Ops with weights of any format, with published ones alone, and without.
class FarIndexTest : public test::ParityTest {
 protected:
  ExecutionContext& context() { return runners_[1]->context; }
};
class FarPublishedTest : public FarIndexTest {};
class FarFloatTest : public FarIndexTest {};

TEST_P(FarPublishedTest, EmbeddingOfAFarTable) {
  constexpr int64_t kRows = 3;
  constexpr int64_t kCols = 4099;
  const self_test::WeightBuffer near(GetParam().weights, kRows, kCols, RandomValues(kRows * kCols));
  const FarMatrix far(near.matrix());
  self_test::GuardedTensor<int32_t, 1> ids(kRows);
  const auto embed = [&](const WeightMatrix& table, int64_t first_id) {
    auto id = static_cast<int32_t>(first_id);
    ids.Fill([&] { return id++; });
    self_test::GuardedTensor<float, 2> y(kRows, kCols);
    FarTensor<float, 2> far_y(y.view());
    table_.embedding({.token_ids = ids.input(), .table = table, .y = far_y.view()}, context());
    return far_y.Elements();
  };
  EXPECT_TRUE(test::HasSameBits(embed(far.matrix(), far.begin()), embed(near.matrix(), 0)));
}

TEST_P(FarFloatTest, RmsNormOfRowsFarApart) {
  self_test::RmsNormProblem problem(3, 77);
  problem.Reset();
  RmsNormArgs args = problem.Args();
  const FarTensor x(args.x);
  const FarTensor y(args.y);
  problem.Call(table_, context());
  args.x = x.view();
  args.y = y.view();
  table_.rms_norm(args, context());
  EXPECT_TRUE(test::HasSameBits(y.Elements(), problem.Outputs()));
}

TEST_P(FarFloatTest, SampleOfRowsFarApart) {
  self_test::SampleProblem problem({.num_rows = 3, .vocab_size = 150});
  problem.Reset();
  SampleArgs args = problem.Args();
  problem.Call(table_, context());
  const std::vector<TokenId> near = problem.token_ids.Elements();
  const FarTensor logits(args.logits);
  args.logits = logits.view();
  table_.sample(args, context());
  EXPECT_EQ(problem.token_ids.Elements(), near);
}

TEST_P(FarPublishedTest, RouteOfRowsFarApart) {
  self_test::MoeRouteProblem problem(
      GetParam().weights, {3, 40, 16, 3, ScoringFunc::kSigmoid, TopkMethod::kNoauxTc, 4, 2, true});
  problem.Reset();
  MoeRouteArgs args = problem.args;
  const FarTensor x(args.x);
  const FarTensor expert_ids(args.expert_ids);
  const FarTensor weights(args.weights);
  problem.Call(table_, context());
  args.x = x.view();
  args.expert_ids = expert_ids.view();
  args.weights = weights.view();
  table_.moe_route(args, context());
  EXPECT_EQ(expert_ids.Elements(), problem.expert_ids.Elements());
  EXPECT_TRUE(test::HasSameBits(weights.Elements(), problem.weights.Elements()));
}

TEST_P(FarIndexTest, LinearOfRowsFarApart) {
  self_test::LinearProblem problem(GetParam().weights, {.num_tokens = 3, .in = 77, .out = 19});
  problem.Reset();
  LinearArgs args = problem.Args();
  const FarTensor x(args.x);
  const FarTensor y(args.y);
  problem.Call(table_, context());
  args.x = x.view();
  args.y = y.view();
  table_.linear(args, context());
  EXPECT_TRUE(test::HasSameBits(y.Elements(), problem.Outputs()));
}

TEST_P(FarIndexTest, LinearOfFarWeights) {
  constexpr int64_t kIn = 136;
  constexpr int64_t kOut = kPanelRows + 3;
  self_test::LinearProblem problem(GetParam().weights, {.num_tokens = 3, .in = kIn, .out = kOut});
  problem.weight = self_test::WeightBuffer(GetParam().weights, kOut, kIn, RandomValues(kIn * kOut));
  problem.Reset();
  problem.Call(table_, context());
  const std::vector<float> expected = problem.Outputs();
  const FarMatrix far(problem.weight.matrix());
  LinearArgs args = problem.Args();
  args.weight = far.matrix().Rows(far.begin(), kOut);
  problem.Reset();
  table_.linear(args, context());
  EXPECT_TRUE(test::HasSameBits(problem.Outputs(), expected));
}

TEST_P(FarIndexTest, MlpOfRowsFarApart) {
  self_test::MlpProblem problem(GetParam().weights,
                                {.num_tokens = 3, .hidden_size = 77, .intermediate_size = 21});
  MlpArgs args = problem.Args();
  problem.Reset();
  const FarTensor x(args.x);
  const FarTensor y(args.y);
  problem.Call(table_, context());
  args.x = x.view();
  args.y = y.view();
  table_.mlp(args, context());
  EXPECT_TRUE(test::HasSameBits(y.Elements(), problem.Outputs()));
}

TEST_P(FarIndexTest, ExpertsOfRowsFarApart) {
  self_test::MoeExpertsProblem problem(GetParam().weights,
                                       {.num_tokens = 3,
                                        .hidden_size = 77,
                                        .intermediate_size = 21,
                                        .num_experts = 9,
                                        .top_k = 2,
                                        .load = self_test::ExpertChoice::kLastExperts});
  MoeExpertsArgs args = problem.Args();
  problem.Reset();
  const FarTensor x(args.x);
  const FarTensor expert_ids(args.expert_ids);
  const FarTensor weights(args.weights);
  const FarTensor y(args.y);
  problem.Call(table_, context());
  args.x = x.view();
  args.expert_ids = expert_ids.view();
  args.weights = weights.view();
  args.y = y.view();
  table_.moe_experts(args, context());
  EXPECT_TRUE(test::HasSameBits(y.Elements(), problem.Outputs()));
}

TEST_P(FarIndexTest, QueriesAndTheirCacheRows) {
  for (const DType dtype : {DType::kF32, DType::kBf16, DType::kI8, DType::kFp8E4m3}) {
    self_test::MlaProjectProblem problem(GetParam().weights, {3, 40, 12, 2, 24, 16, 48}, dtype);
    problem.Reset();
    MlaProjectArgs args = problem.Args();
    const FarTensor x(args.x);
    const FarTensor q(args.q);
    const FarCache cache(args.cache);
    const LatentCache near = args.cache;
    table_.mla_project(args, context());
    const FarTensor copy(args.q);
    std::vector<int64_t> slots;
    for (int64_t t = 0; t < args.slots.extent(0); ++t) {
      slots.push_back(args.slots(t) + cache.blocks_before() * near.block_size);
    }
    args.x = x.view();
    args.q = q.view();
    args.cache = cache.cache();
    args.slots = MakeView(static_cast<const int64_t*>(slots.data()), slots.size());
    table_.mla_project(args, context());
    EXPECT_TRUE(test::HasSameBits(q.Elements(), copy.Elements()));
    EXPECT_TRUE(cache.HasRowsOf(near)) << NameOf(dtype);
  }
}

TEST_P(FarIndexTest, AttentionOverFarBlocks) {
  const self_test::MlaAttentionShape shape = {3, 24, 16, 48, 20, 64, {{65, 1}, {70, 2}, {0, 0}}};
  for (const DType dtype : {DType::kF32, DType::kBf16, DType::kI8, DType::kFp8E4m3}) {
    for (const MlaForm form : {MlaForm::kAbsorbed, MlaForm::kMaterialised}) {
      if (form == MlaForm::kMaterialised && IsQuantized(GetParam().weights.format)) {
        continue;  // has no such form
      }
      self_test::MlaAttentionProblem problem(GetParam().weights, shape, dtype);
      problem.Reset();
      MlaAttentionArgs args = problem.Args(form);
      const FarTensor q(args.q);
      const FarTensor out(args.out);
      const FarCache cache(args.cache);
      table_.mla_attention(args, context());
      FarTensor tables(args.block_tables);
      for (int64_t i = 0; i < std::ssize(shape.sequences); ++i) {
        const int64_t context_len = shape.sequences[static_cast<size_t>(i)].context_len;
        for (int64_t j = 0; j * shape.block_size < context_len; ++j) {
          tables.view()(i, j) += static_cast<int32_t>(cache.blocks_before());
        }
      }
      args.q = q.view();
      args.out = out.view();
      args.cache = cache.cache();
      args.block_tables = tables.view();
      table_.mla_attention(args, context());
      EXPECT_TRUE(test::HasSameBits(out.Elements(), problem.Outputs())) << NameOf(dtype);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(BackEnds,
                         FarIndexTest,
                         testing::ValuesIn(WithReference(test::ParityCases())),
                         test::NameOfParam);
INSTANTIATE_TEST_SUITE_P(BackEnds,
                         FarPublishedTest,
                         testing::ValuesIn(WithReference(test::PublishedFormatCases())),
                         test::NameOfParam);
INSTANTIATE_TEST_SUITE_P(BackEnds,
                         FarFloatTest,
                         testing::ValuesIn(WithReference(test::BackEndCases())),
                         test::NameOfParam);

}  // namespace
}  // namespace hadal
