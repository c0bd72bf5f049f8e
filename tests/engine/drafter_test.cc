#include "engine/drafter.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/emulated_table.h"
#include "tests/support/test_steps.h"

namespace hadal {
namespace {

using testing::ElementsAreArray;

constexpr int64_t kMaxTokens = 192;
constexpr TokenId kBadToken = 5;  // whose embedding is NaN where it is poisoned

// The model and its MTP module without executor and paging: the oracle. ForwardMtp itself is held
// to transformers' numbers by golden_test.cc.
class Oracle {
 public:
  Oracle(const Golden& golden, const KernelTable& kernels)
      : runner_(
            {.golden = golden, .kernels = kernels, .form = MlaForm::kAbsorbed, .num_threads = 3}) {}

  // Greedy guesses at what follows `tokens`, of which the last was sampled just now.
  std::vector<TokenId> Drafts(const std::vector<TokenId>& tokens, int64_t count) {
    auto cache = KvCache::Create({.config = config(),
                                  .mtp = MtpCache::kIncluded,
                                  .dtype = DType::kBf16,
                                  .num_blocks = kMaxTokens / kBlockSize,
                                  .device = *runner_.model().kernels().device});
    CHECK(cache.ok());
    const int64_t num_rows = std::ssize(tokens) - 1;
    const DeviceRows hidden(*runner_.model().kernels().device, num_rows, config().hidden_size);
    const TensorView<float, 2>& rows = hidden.view();
    const auto all = std::span(tokens);
    runner_.model().Forward(
        BatchOf(all.first(tokens.size() - 1), 0), *cache, runner_.context(), rows);
    runner_.model().ForwardMtp(
        0, BatchOf(all.subspan(1), 0), rows, *cache, runner_.context(), rows);
    const auto last = rows.Slice(num_rows - 1, 1);
    std::vector<TokenId> drafts = {Best(last)};
    while (std::ssize(drafts) < count) {
      const int64_t position = num_rows + std::ssize(drafts) - 1;
      runner_.model().ForwardMtp(
          0, BatchOf(std::span(drafts).last(1), position), last, *cache, runner_.context(), last);
      drafts.push_back(Best(last));
    }
    return drafts;
  }

  // The greedy continuation.
  std::vector<TokenId> Continue(const std::vector<TokenId>& tokens, int64_t count) {
    return runner_.Greedy(tokens, count, DType::kBf16);
  }

 private:
  [[nodiscard]] const ModelConfig& config() const { return runner_.model().config(); }

  static ForwardBatch BatchOf(std::span<const TokenId> tokens, int64_t first) {
    ForwardBatch batch;
    for (size_t i = 0; i < tokens.size(); ++i) {
      batch.token_ids.push_back(tokens[i]);
      batch.positions.push_back(static_cast<int32_t>(first) + static_cast<int32_t>(i));
      batch.slots.push_back(batch.positions.back());
    }
    batch.query_starts = {0, static_cast<int32_t>(tokens.size())};
    batch.max_blocks = kMaxTokens / kBlockSize;
    for (int32_t block = 0; block < batch.max_blocks; ++block) {
      batch.block_tables.push_back(block);
    }
    return batch;
  }

  TokenId Best(const TensorView<const float, 2>& row) {
    std::vector<float> logits(static_cast<size_t>(config().vocab_size));
    runner_.model().FetchLogits(
        row, runner_.context(), MakeView(logits.data(), 1, config().vocab_size));
    return static_cast<TokenId>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  }

  ModelRunner runner_;
};

class DrafterTest : public testing::Test {
 protected:
  ExecutorFixture MakeExecutor(const KernelTable& kernels = BestKernels()) {
    return ExecutorFixture({.golden = golden_,
                            .kernels = kernels,
                            .num_threads = 2,
                            .cache_dtype = DType::kBf16,
                            .num_blocks = 12,
                            .device = CpuDevice(),
                            .max_step_tokens = 128,
                            .max_samples = 64,
                            .can_draft = true});
  }

  // Greedy.
  static TestSequence MakeSequence(const std::vector<TokenId>& prompt,
                                   const std::vector<int32_t>& blocks) {
    return {.tokens = prompt,
            .num_prompt_tokens = std::ssize(prompt),
            .blocks = blocks,
            .params = {.temperature = 0}};
  }

  // Runs a prompt in chunks, and asks for drafts behind the last.
  void RunPrompt(ExecutorFixture& executor,
                 TestSequence& sequence,
                 int64_t chunk_tokens,
                 int32_t num_drafts) {
    while (sequence.num_computed < std::ssize(sequence.tokens)) {
      std::vector<TestSequence> sequences = {sequence};
      StepInput input = MakeStep(sequences, {chunk_tokens});
      sequence.num_computed = sequences[0].num_computed;
      if (sequence.num_computed < std::ssize(sequence.tokens)) {
        input.samples.clear();
        input.drafts = {
            {.next_token = sequence.tokens[static_cast<size_t>(sequence.num_computed)]}};
      } else {
        input.drafts = {{.num_drafts = num_drafts}};
      }
      executor.Run(input, output_);
    }
  }

  // Runs the sequence's last token with these drafts behind it.
  void Verify(ExecutorFixture& executor,
              TestSequence& sequence,
              const std::vector<TokenId>& drafts,
              int32_t num_drafts) {
    std::vector<TestSequence> sequences = {sequence};
    StepInput input = MakeStep(sequences, {1});
    for (size_t i = 0; i < drafts.size(); ++i) {
      const int32_t position = input.batch.positions.back() + 1;
      input.batch.token_ids.push_back(drafts[i]);
      input.batch.positions.push_back(position);
      input.batch.slots.push_back(sequence.blocks[static_cast<size_t>(position / kBlockSize)] *
                                      kBlockSize +
                                  position % kBlockSize);
      ++input.batch.query_starts.back();
      SampleRow sample = input.samples.back();
      ++sample.row;
      sample.drafts = std::span(drafts).first(i + 1);
      input.samples.push_back(sample);
    }
    input.drafts = {{.num_drafts = num_drafts}};
    executor.Run(input, output_);
  }

  std::vector<TokenId> Drafted() const {
    const auto view = output_.drafts.front().view();
    return {view.begin(), view.end()};
  }

  Golden golden_ = Golden::Load("v3-bf16");
  const std::vector<TokenId> ids_ = golden_.Ids("input_ids");
  Oracle oracle_{golden_, BestKernels()};
  StepOutput output_;
};

TEST_F(DrafterTest, GuessesBehindAPromptInChunks) {
  const std::vector<TokenId> prompt(ids_.begin(), ids_.begin() + 70);
  for (const int64_t chunk_tokens : {1, 7, 64, 70}) {
    ExecutorFixture executor = MakeExecutor();
    TestSequence sequence = MakeSequence(prompt, {7, 2});
    RunPrompt(executor, sequence, chunk_tokens, 8);
    std::vector<TokenId> tokens = prompt;
    tokens.push_back(output_.samples.front().token);
    EXPECT_THAT(Drafted(), ElementsAreArray(oracle_.Drafts(tokens, 8))) << chunk_tokens;
  }
}

// The GPU's memory is out of the host's reach.
TEST_F(DrafterTest, GuessesOnAnEmulatedGpu) {
  if (!test::EmulatesCuda()) {
    GTEST_SKIP() << "no emulated GPU in this build";
  }
  const KernelTable kernels = test::EmulatedCudaTable();
  const std::vector<TokenId> prompt(ids_.begin(), ids_.begin() + 20);
  ExecutorFixture executor = MakeExecutor(kernels);
  TestSequence sequence = MakeSequence(prompt, {7, 2});
  RunPrompt(executor, sequence, 11, 4);
  std::vector<TokenId> tokens = prompt;
  tokens.push_back(output_.samples.front().token);
  EXPECT_THAT(Drafted(), ElementsAreArray(Oracle(golden_, kernels).Drafts(tokens, 4)));
}

// Two drafts come true, the third does not: what follows is guessed from the true tokens alone,
// and so it is a step later, over rows that the module wrote for its guesses.
TEST_F(DrafterTest, GuessesBehindDraftsThatCameTrue) {
  const std::vector<TokenId> prompt(ids_.begin(), ids_.begin() + 60);
  ExecutorFixture executor = MakeExecutor();
  TestSequence sequence = MakeSequence(prompt, {4, 0});
  RunPrompt(executor, sequence, 60, 5);
  const std::vector<TokenId> future = oracle_.Continue(prompt, 8);
  ASSERT_EQ(output_.samples.front().token, future[0]);
  sequence.tokens.push_back(future[0]);

  const auto wrong = static_cast<TokenId>((future[3] + 1) % golden_.config().vocab_size);
  const std::vector<TokenId> drafts = {future[1], future[2], wrong, future[4]};
  Verify(executor, sequence, drafts, 6);
  ASSERT_EQ(NumAccepted(drafts, output_.samples), 2);
  sequence.tokens.insert(sequence.tokens.end(), future.begin() + 1, future.begin() + 4);
  sequence.num_computed += 3;
  EXPECT_EQ(output_.samples[2].token, future[3]);
  EXPECT_THAT(Drafted(), ElementsAreArray(oracle_.Drafts(sequence.tokens, 6)));

  Verify(executor, sequence, {}, 3);
  EXPECT_EQ(output_.samples.front().token, future[4]);
  sequence.tokens.push_back(future[4]);
  EXPECT_THAT(Drafted(), ElementsAreArray(oracle_.Drafts(sequence.tokens, 3)));
}

TEST_F(DrafterTest, GuessesForSomeOfABatch) {
  ExecutorFixture executor = MakeExecutor();
  std::vector<TestSequence> sequences;
  for (const auto& [begin, end, block] : {std::tuple(0, 40, 3), {10, 11, 9}, {5, 50, 0}}) {
    sequences.push_back(
        MakeSequence({ids_.begin() + begin, ids_.begin() + end}, {block, block + 1}));
  }
  StepInput input = MakeStep(sequences, {100, 100, 100});
  input.drafts = {{.num_drafts = 2}, {.num_drafts = 0}, {.num_drafts = 4}};
  executor.Run(input, output_);
  ASSERT_EQ(output_.drafts.size(), 3U);
  for (size_t s = 0; s < 3; ++s) {
    std::vector<TokenId> tokens = sequences[s].tokens;
    tokens.push_back(output_.samples[s].token);
    std::vector<TokenId> expected = oracle_.Drafts(tokens, 4);
    expected.resize(static_cast<size_t>(input.drafts[s].num_drafts));
    EXPECT_THAT(output_.drafts[s].view(), ElementsAreArray(expected)) << s;
  }
}

TEST_F(DrafterTest, WithoutAnOrderNothingIsGuessed) {
  ExecutorFixture executor = MakeExecutor();
  std::vector<TestSequence> sequences = {MakeSequence({ids_.begin(), ids_.begin() + 9}, {1})};
  executor.Run(MakeStep(sequences, {9}), output_);
  EXPECT_TRUE(output_.drafts.empty());
}

// A guess may be a token that the model cannot digest: that is nobody's fault, and nothing that is
// sampled behind it counts.
TEST_F(DrafterTest, ADraftThatBreaksTheModelIsOneThatDoesNotComeTrue) {
  golden_.PoisonEmbedding(kBadToken);
  std::vector<TokenId> prompt(ids_.begin(), ids_.begin() + 30);
  std::replace(prompt.begin(), prompt.end(), kBadToken, TokenId{6});
  ExecutorFixture executor = MakeExecutor();
  TestSequence sequence = MakeSequence(prompt, {4, 0});
  RunPrompt(executor, sequence, 30, 0);
  sequence.tokens.push_back(output_.samples.front().token);
  ASSERT_NE(sequence.tokens.back(), kBadToken);
  Verify(executor, sequence, {kBadToken, 7}, 2);
  EXPECT_EQ(output_.health.front(), RowHealth::kFinite);
  const TokenId next = output_.samples[0].token;
  EXPECT_NE(next, kNoToken);
  EXPECT_EQ(output_.samples[1].token, kNoToken);
  EXPECT_EQ(output_.samples[2].token, kNoToken);
  for (const KernelHealth& op : executor.executor().kernel_health()) {
    EXPECT_EQ(op.num_faults, 0) << op.op;
  }
  // The sequence goes on as without.
  sequence.tokens.push_back(next);
  sequence.num_computed += 1;
  Verify(executor, sequence, {}, 0);
  EXPECT_EQ(output_.health.front(), RowHealth::kFinite);
}

TEST(NumAcceptedTest, CountsGuessesThatWereRightInARow) {
  const auto samples = [](std::initializer_list<TokenId> tokens) {
    std::vector<SampledToken> sampled;
    for (const TokenId token : tokens) {
      sampled.push_back({.token = token});
    }
    return sampled;
  };
  const std::vector<TokenId> drafts = {1, 2, 3};
  EXPECT_EQ(NumAccepted({}, samples({9})), 0);
  EXPECT_EQ(NumAccepted(drafts, samples({9, 2, 3, 4})), 0);
  EXPECT_EQ(NumAccepted(drafts, samples({1, 9, 3, 4})), 1);
  EXPECT_EQ(NumAccepted(drafts, samples({1, 2, 3, 4})), 3);
  EXPECT_EQ(NumAccepted(drafts, samples({1, 2, kNoToken, kNoToken})), 1);
}

}  // namespace
}  // namespace hadal
