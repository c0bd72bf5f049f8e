// Whole models against the transformers package (tests/golden/README.md says how the files were
// made).
//
// Tolerance: both sides compute in float32 with sums of up to a few hundred terms, in different
// orders. A dot product of n terms differs by about sqrt(n) * 2^-24 of its norm; through three
// layers with residuals that stays below 1e-5 of the logits' standard deviation of 2, and a hundred
// times that leaves room for the non-linear parts. Errors of the formulas are a thousand times
// larger: leaving out mscale, YaRN or the expert groups moves the logits by 0.3 to 1.3 rms.

#include "tests/support/golden.h"

#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "engine/sequence_runner.h"
#include "tests/support/emulated_table.h"

namespace hadal {
namespace {

constexpr double kTolerance = 1e-3;

class GoldenTest : public testing::TestWithParam<std::string> {
 protected:
  const Golden golden_ = Golden::Load(GetParam());
  const std::vector<TokenId> prompt_ = golden_.Ids("input_ids");
  const std::vector<float> expected_ = golden_.Floats("logits");
};

double MaxDifference(const std::vector<float>& a, const std::vector<float>& b) {
  double max = a.size() == b.size() ? 0 : INFINITY;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    max = std::max(max, std::abs(double{a[i]} - double{b[i]}));
  }
  return max;
}

TEST_P(GoldenTest, LogitsOfEveryBackEnd) {
  for (const std::string& kernels : AvailableBackEnds()) {
    ModelRunner runner(golden_, kernels, MlaForm::kAuto);
    EXPECT_LT(MaxDifference(runner.Logits(prompt_, 1000, DType::kF32), expected_), kTolerance)
        << kernels;
  }
}

// All that cpu-amx does on tiles, on machines without them too; rows of bf16 are attended on tiles.
TEST_P(GoldenTest, LogitsOnEmulatedTiles) {
  ModelRunner runner({.golden = golden_,
                      .kernels = test::EmulatedTilesTable(),
                      .form = MlaForm::kAbsorbed,
                      .num_threads = 2});
  EXPECT_LT(MaxDifference(runner.Logits(prompt_, 1000, DType::kF32), expected_), kTolerance);
  const std::vector<float> vectors =
      ModelRunner(golden_, "auto", MlaForm::kAbsorbed).Logits(prompt_, 1000, DType::kBf16);
  EXPECT_LT(RmsDifference(runner.Logits(prompt_, 1000, DType::kBf16), vectors), kTolerance);
}

// All that the CUDA back end does, on machines without a GPU too: memory of the emulated one is out
// of the host's reach.
TEST_P(GoldenTest, LogitsOnAnEmulatedGpu) {
  if (!test::EmulatesCuda()) {
    GTEST_SKIP() << "no emulated GPU in this build";
  }
  ModelRunner runner({.golden = golden_,
                      .kernels = test::EmulatedCudaTable(),
                      .form = MlaForm::kAbsorbed,
                      .num_threads = 1});
  EXPECT_LT(MaxDifference(runner.Logits(prompt_, 40, DType::kF32), expected_), kTolerance);
}

TEST_P(GoldenTest, AbsorbedAndMaterialisedAttentionAgree) {
  for (const MlaForm form : {MlaForm::kAbsorbed, MlaForm::kMaterialised}) {
    ModelRunner runner(golden_, "auto", form);
    EXPECT_LT(MaxDifference(runner.Logits(prompt_, 1000, DType::kF32), expected_), kTolerance);
  }
}

TEST_P(GoldenTest, ChunkedPrefillEqualsOneShot) {
  ModelRunner runner(golden_, "auto", MlaForm::kAuto);
  for (const int64_t chunk_tokens : {1, 7, 64, 95}) {
    EXPECT_LT(MaxDifference(runner.Logits(prompt_, chunk_tokens, DType::kF32), expected_),
              kTolerance)
        << chunk_tokens;
  }
}

TEST_P(GoldenTest, GreedyTokens) {
  for (const std::string& kernels : AvailableBackEnds()) {
    ModelRunner runner(golden_, kernels, MlaForm::kAuto);
    const std::vector<TokenId> expected = golden_.Ids("greedy_ids");
    EXPECT_EQ(runner.Greedy(prompt_, std::ssize(expected), DType::kF32), expected) << kernels;
  }
}

// Where a rounded cache tips a router's near-tie the token takes other experts, which is no error;
// the README gives the margins, and tokens below `margin` are left out.
double MedianRms(std::span<const float> logits,
                 std::span<const float> expected,
                 std::span<const float> margins,
                 float margin) {
  const size_t vocab_size = expected.size() / margins.size();
  std::vector<double> rms;
  for (size_t t = 0; t < margins.size(); ++t) {
    const auto row = [&](std::span<const float> all) {
      const auto part = all.subspan(t * vocab_size, vocab_size);
      return std::vector<float>(part.begin(), part.end());
    };
    if (margins[t] >= margin) {
      rms.push_back(RmsDifference(row(logits), row(expected)));
    }
  }
  CHECK_GT(rms.size(), 10U);
  std::nth_element(rms.begin(), rms.begin() + std::ssize(rms) / 2, rms.end());
  return rms[rms.size() / 2];
}

// A bf16 cache rounds latents to 8 bits: relative 2^-9 each. What stays must be within a few times
// the rounding of the standard deviation, 2.
TEST_P(GoldenTest, Bf16CacheStaysWithinItsRounding) {
  ModelRunner runner(golden_, "auto", MlaForm::kAuto);
  const std::vector<float> logits = runner.Logits(prompt_, 1000, DType::kBf16);
  EXPECT_LT(MedianRms(logits, expected_, golden_.Floats("router_margins"), 0.01F), 0.02);
}

// An int8 cache rounds latents to steps of a 127th of their group's largest, about 2.7 standard
// deviations of 128 normal numbers: an error of 2.7 / 127 / sqrt(12) = 0.006 of them, 5.5 times
// that of bf16, 0.0011. So may the logits be off.
TEST_P(GoldenTest, Int8CacheStaysWithinItsRounding) {
  ModelRunner runner(golden_, "auto", MlaForm::kAuto);
  const std::vector<float> logits = runner.Logits(prompt_, 1000, DType::kI8);
  EXPECT_LT(MedianRms(logits, expected_, golden_.Floats("router_margins"), 0.01F), 5.5 * 0.02);
}

// An fp8 cache rounds latents to 4 bits where bf16 has 8: 2^4 times its error.
TEST_P(GoldenTest, Fp8CacheStaysWithinItsRounding) {
  ModelRunner runner(golden_, "auto", MlaForm::kAuto);
  const std::vector<float> logits = runner.Logits(prompt_, 1000, DType::kFp8E4m3);
  EXPECT_LT(MedianRms(logits, expected_, golden_.Floats("router_margins"), 0.01F), 16 * 0.02);
}

TEST_P(GoldenTest, HiddenStatesAreNormed) {
  ModelRunner runner(golden_, "auto", MlaForm::kAuto);
  auto sequence = SequenceRunner::Create({.model = runner.model(),
                                          .context = runner.context(),
                                          .cache_dtype = DType::kF32,
                                          .max_tokens = std::ssize(prompt_),
                                          .chunk_tokens = 50});
  ASSERT_TRUE(sequence.ok());
  std::vector<float> hidden;
  sequence->Append(prompt_, [&](int64_t /*first*/, const TensorView<const float, 2>& rows) {
    hidden.insert(hidden.end(), rows.data, rows.data + rows.num_elements());
  });
  EXPECT_LT(MaxDifference(hidden, golden_.Floats("hidden")), kTolerance);
}

// The module reads token i + 1 and the hidden state of position i, and predicts token i + 2.
std::vector<float> MtpLogits(const Golden& golden,
                             const std::vector<TokenId>& prompt,
                             const KernelTable& kernels) {
  ModelRunner runner(
      {.golden = golden, .kernels = kernels, .form = MlaForm::kAuto, .num_threads = 3});
  const ModelConfig& config = golden.config();
  const int64_t num_tokens = std::ssize(prompt) - 1;
  auto cache = KvCache::Create({.config = config,
                                .mtp = MtpCache::kIncluded,
                                .dtype = DType::kF32,
                                .num_blocks = 2,
                                .device = *runner.model().kernels().device});
  CHECK(cache.ok());
  const DeviceRows hidden(
      *runner.model().kernels().device, golden.Floats("hidden"), config.hidden_size);
  std::vector<float> logits(static_cast<size_t>(num_tokens * config.vocab_size));
  for (int64_t begin = 0; begin < num_tokens; begin += 60) {  // in two steps, through the cache
    const int64_t count = std::min<int64_t>(60, num_tokens - begin);
    ForwardBatch batch;
    for (int64_t i = begin; i < begin + count; ++i) {
      batch.token_ids.push_back(prompt[static_cast<size_t>(i + 1)]);
      batch.positions.push_back(static_cast<int32_t>(i));
      batch.slots.push_back(i);
    }
    batch.query_starts = {0, static_cast<int32_t>(count)};
    batch.block_tables = {0, 1};
    batch.max_blocks = 2;
    const TensorView<float, 2> rows = hidden.view().Slice(begin, count);
    runner.model().ForwardMtp(0, batch, rows, *cache, runner.context(), rows);
    runner.model().FetchLogits(
        rows,
        runner.context(),
        MakeView(logits.data() + begin * config.vocab_size, count, config.vocab_size));
  }
  return logits;
}

TEST_P(GoldenTest, MtpLogits) {
  if (!golden_.Has("mtp_logits")) {
    EXPECT_EQ(golden_.config().num_nextn_predict_layers, 0);
    return;
  }
  for (const KernelTable& kernels : test::WithEmulatedCuda({*BuildKernelTable("auto")})) {
    EXPECT_LT(MaxDifference(MtpLogits(golden_, prompt_, kernels), golden_.Floats("mtp_logits")),
              kTolerance)
        << kernels.linear.implementation;
  }
}

// Sequences of one batch, with shuffled blocks and unequal lengths, get what each gets alone.
TEST_P(GoldenTest, ABatchOfSequencesEqualsEachAlone) {
  ModelRunner runner(golden_, "auto", MlaForm::kAuto);
  const ModelConfig& config = golden_.config();
  auto cache = KvCache::Create({.config = config,
                                .mtp = MtpCache::kIncluded,
                                .dtype = DType::kF32,
                                .num_blocks = 5,
                                .device = *runner.model().kernels().device});
  ASSERT_TRUE(cache.ok());
  const std::vector<std::vector<int32_t>> tables = {{3, 1}, {4, 0}};
  const std::vector<int64_t> lengths = {96, 70};
  std::vector<float> hidden(static_cast<size_t>(200 * config.hidden_size));
  std::vector<float> last_logits(static_cast<size_t>(2 * config.vocab_size));
  for (const auto& [begin, end] : {std::pair{0, 66}, std::pair{66, 96}}) {
    ForwardBatch batch;
    batch.query_starts = {0};
    batch.max_blocks = 2;
    for (size_t s = 0; s < 2; ++s) {
      for (int64_t p = begin; p < std::min<int64_t>(end, lengths[s]); ++p) {
        batch.token_ids.push_back(prompt_[static_cast<size_t>(p)]);
        batch.positions.push_back(static_cast<int32_t>(p));
        batch.slots.push_back(tables[s][static_cast<size_t>(p / kBlockSize)] * kBlockSize +
                              p % kBlockSize);
      }
      batch.query_starts.push_back(static_cast<int32_t>(batch.num_tokens()));
      batch.block_tables.insert(batch.block_tables.end(), tables[s].begin(), tables[s].end());
    }
    const TensorView<float, 2> rows =
        MakeView(hidden.data(), batch.num_tokens(), config.hidden_size);
    runner.model().Forward(batch, *cache, runner.context(), rows);
    for (int64_t s = 0; s < 2; ++s) {
      const int64_t last = batch.query_starts[static_cast<size_t>(s + 1)] - 1;
      runner.model().FetchLogits(
          rows.Slice(last, 1),
          runner.context(),
          MakeView(last_logits.data() + s * config.vocab_size, 1, config.vocab_size));
    }
  }
  for (size_t s = 0; s < 2; ++s) {
    for (int64_t v = 0; v < config.vocab_size; ++v) {
      ASSERT_NEAR(last_logits[s * static_cast<size_t>(config.vocab_size) + static_cast<size_t>(v)],
                  expected_[static_cast<size_t>((lengths[s] - 1) * config.vocab_size + v)],
                  kTolerance);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Cases,
                         GoldenTest,
                         testing::ValuesIn(Golden::Names()),
                         [](const auto& test_case) {
                           std::string name = test_case.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace hadal
