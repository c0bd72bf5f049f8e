// With one form of attention a token's results have the same bits however its sequence is cut into
// steps, whatever runs beside it, wherever its blocks lie and however many threads there are. This
// is what lets a server batch, chunk, preempt and reuse cached blocks without changing an answer.

#include <algorithm>
#include <cstring>
#include <random>

#include <gtest/gtest.h>

#include "tests/support/emulated_table.h"
#include "tests/support/golden.h"

namespace hadal {
namespace {

constexpr int64_t kMaxBlocks = 2;

using Tokens = std::vector<TokenId>;

// Whether two runs of floats are equal, NaN included.
bool HasSameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

KernelTable Table(const std::string& back_end) {
  if (back_end == test::kEmulatedTilesName) {
    return test::EmulatedTilesTable();
  }
  if (back_end == test::kEmulatedCudaName) {
    return test::EmulatedCudaTable();
  }
  const absl::StatusOr<KernelTable> table = BuildKernelTable(back_end);
  CHECK(table.ok());
  return *table;
}

class BatchInvarianceTest : public testing::TestWithParam<std::string> {
 protected:
  // Logits of all positions, in steps of `chunk_tokens`.
  std::vector<float> Alone(const std::string& back_end,
                           const Tokens& tokens,
                           int64_t chunk_tokens,
                           DType dtype) {
    return Runner(back_end, 1).Logits(tokens, chunk_tokens, dtype);
  }

  ModelRunner Runner(const std::string& back_end, int32_t num_threads) const {
    return Runner(golden_, back_end, num_threads);
  }

  static ModelRunner Runner(const Golden& golden,
                            const std::string& back_end,
                            int32_t num_threads) {
    return ModelRunner({.golden = golden,
                        .kernels = Table(back_end),
                        .form = MlaForm::kAbsorbed,
                        .num_threads = num_threads});
  }

  const Golden golden_ = Golden::Load(GetParam());
  const Tokens prompt_ = golden_.Ids("input_ids");
};

TEST_P(BatchInvarianceTest, StepsOfAnySizeOnAnyNumberOfThreads) {
  for (const DType dtype : {DType::kF32, DType::kBf16, DType::kFp8E4m3}) {
    const std::vector<float> expected = Alone("auto", prompt_, 1, dtype);
    for (const int32_t num_threads : {1, 3}) {
      ModelRunner runner = Runner("auto", num_threads);
      for (const int64_t chunk_tokens : {1, 2, 7, 64, 1000}) {
        EXPECT_TRUE(HasSameBits(runner.Logits(prompt_, chunk_tokens, dtype), expected))
            << NameOf(dtype) << ", " << num_threads << " threads, steps of " << chunk_tokens;
      }
    }
  }
}

TEST_P(BatchInvarianceTest, EveryBackEndAndFormat) {
  std::vector<std::string> back_ends = AvailableBackEnds();
  back_ends.emplace_back(test::kEmulatedTilesName);
  if (test::EmulatesCuda()) {
    back_ends.emplace_back(test::kEmulatedCudaName);
  }
  for (const WeightPacking packing :
       {WeightPacking::kNative, WeightPacking::kInt8, WeightPacking::kInt4}) {
    const Golden golden = Golden::LoadPacked(GetParam(), packing);
    for (const std::string& back_end : back_ends) {
      Tokens tokens = prompt_;
      if (back_end == "reference") {
        tokens.resize(20);  // it takes every number of tokens one by one; a few show it
      } else if (back_end == test::kEmulatedCudaName) {
        tokens.resize(7);  // it is slow
      }
      ModelRunner runner = Runner(golden, back_end, 3);
      const std::vector<float> expected = runner.Logits(tokens, 1, DType::kBf16);
      for (const int64_t chunk_tokens : {5, 1000}) {
        EXPECT_TRUE(HasSameBits(runner.Logits(tokens, chunk_tokens, DType::kBf16), expected))
            << back_end << ", " << NameOf(packing) << ", steps of " << chunk_tokens;
      }
    }
  }
}

// Some sequences that go through a cache together, each in blocks of its own.
class Batches {
 public:
  Batches(ModelRunner& runner, std::vector<Tokens> sequences, DType dtype)
      : runner_(runner),
        sequences_(std::move(sequences)),
        num_computed_(sequences_.size()),
        logits_(sequences_.size()) {
    const int64_t num_blocks = std::ssize(sequences_) * kMaxBlocks + 1;
    auto cache = KvCache::Create({.config = runner.model().config(),
                                  .mtp = MtpCache::kNone,
                                  .dtype = dtype,
                                  .num_blocks = num_blocks,
                                  .device = *runner.model().kernels().device});
    CHECK(cache.ok());
    cache_.emplace(*std::move(cache));
    for (int32_t block = 0; block < num_blocks; ++block) {
      blocks_.push_back(block);
    }
    std::shuffle(blocks_.begin(), blocks_.end(), random_);
  }

  // Runs steps with a random number of tokens of each sequence, until all are done.
  void RunAll() {
    while (Step()) {
    }
  }

  // Logits of all positions of sequence s.
  const std::vector<float>& logits(size_t s) const { return logits_[s]; }

 private:
  bool Step() {
    ForwardBatch batch;
    batch.query_starts = {0};
    batch.max_blocks = kMaxBlocks;
    std::vector<size_t> owners;
    for (size_t s = 0; s < sequences_.size(); ++s) {
      // A decode step, a piece of a prompt, or nothing.
      const size_t wanted = std::array<size_t, 5>{0, 1, 1, 3, 29}[random_() % 5];
      const size_t end = std::min(num_computed_[s] + wanted, sequences_[s].size());
      const auto table = std::span(blocks_).subspan(s * kMaxBlocks, kMaxBlocks);
      for (; num_computed_[s] < end; ++num_computed_[s]) {
        const auto position = static_cast<int32_t>(num_computed_[s]);
        batch.token_ids.push_back(sequences_[s][num_computed_[s]]);
        batch.positions.push_back(position);
        batch.slots.push_back(table[static_cast<size_t>(position / kBlockSize)] * kBlockSize +
                              position % kBlockSize);
        owners.push_back(s);
      }
      batch.block_tables.insert(batch.block_tables.end(), table.begin(), table.end());
      batch.query_starts.push_back(static_cast<int32_t>(batch.num_tokens()));
    }
    if (!owners.empty()) {
      Run(batch, owners);
    }
    return std::any_of(logits_.begin(), logits_.end(), [this](const std::vector<float>& logits) {
      const auto s = static_cast<size_t>(&logits - logits_.data());
      return num_computed_[s] < sequences_[s].size();
    });
  }

  void Run(const ForwardBatch& batch, const std::vector<size_t>& owners) {
    const ModelConfig& config = runner_.model().config();
    const DeviceRows hidden(
        *runner_.model().kernels().device, batch.num_tokens(), config.hidden_size);
    std::vector<float> logits(owners.size() * static_cast<size_t>(config.vocab_size));
    const auto logits_view = MakeView(logits.data(), batch.num_tokens(), config.vocab_size);
    runner_.model().Forward(batch, *cache_, runner_.context(), hidden.view());
    runner_.model().FetchLogits(hidden.view(), runner_.context(), logits_view);
    for (size_t row = 0; row < owners.size(); ++row) {
      const auto values = logits_view.Row(row);
      logits_[owners[row]].insert(logits_[owners[row]].end(), values.begin(), values.end());
    }
  }

  ModelRunner& runner_;
  std::vector<Tokens> sequences_;
  std::vector<size_t> num_computed_;
  std::vector<std::vector<float>> logits_;
  std::optional<KvCache> cache_;
  std::vector<int32_t> blocks_;
  std::mt19937 random_{5};
};

TEST_P(BatchInvarianceTest, AloneAndInABatch) {
  const std::vector<Tokens> sequences = {prompt_,
                                         {prompt_.rbegin(), prompt_.rend()},
                                         {prompt_.begin(), prompt_.begin() + 70},
                                         {prompt_.begin() + 50, prompt_.begin() + 53},
                                         {prompt_.begin() + 9, prompt_.end()}};
  for (const DType dtype : {DType::kF32, DType::kBf16, DType::kFp8E4m3}) {
    std::vector<std::vector<float>> expected;
    for (const Tokens& tokens : sequences) {
      expected.push_back(Alone("auto", tokens, 1000, dtype));
    }
    for (const int32_t num_threads : {1, 3}) {
      ModelRunner runner = Runner("auto", num_threads);
      Batches batches(runner, sequences, dtype);
      batches.RunAll();
      for (size_t s = 0; s < sequences.size(); ++s) {
        EXPECT_TRUE(HasSameBits(batches.logits(s), expected[s]))
            << NameOf(dtype) << ", " << num_threads << " threads, sequence " << s;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Cases,
                         BatchInvarianceTest,
                         testing::ValuesIn(Golden::Names()),
                         [](const auto& test_case) {
                           std::string name = test_case.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace hadal
