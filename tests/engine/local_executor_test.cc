#include "engine/local_executor.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <random>

#include <gtest/gtest.h>

#include "engine/sequence_runner.h"
#include "tests/support/emulated_table.h"
#include "tests/support/test_steps.h"

namespace hadal {
namespace {

constexpr int64_t kMaxBlocks = 2;
constexpr int64_t kMaxSamples = 200;

// The token whose embedding is NaN where it is poisoned.
constexpr TokenId kBadToken = 5;

bool HasSameBits(float a, float b) {
  return std::memcmp(&a, &b, sizeof(a)) == 0;
}

void ExpectSame(const SampledToken& actual, const SampledToken& expected) {
  EXPECT_EQ(actual.token, expected.token);
  EXPECT_TRUE(HasSameBits(actual.logprob, expected.logprob));
  ASSERT_EQ(actual.top_logprobs.size(), expected.top_logprobs.size());
  for (size_t i = 0; i < expected.top_logprobs.size(); ++i) {
    EXPECT_EQ(actual.top_logprobs[i].token, expected.top_logprobs[i].token);
    EXPECT_TRUE(HasSameBits(actual.top_logprobs[i].logprob, expected.top_logprobs[i].logprob));
  }
}

ExecutorFixture MakeExecutor(const Golden& golden, const KernelTable& kernels) {
  return ExecutorFixture({.golden = golden,
                          .kernels = kernels,
                          .num_threads = 3,
                          .cache_dtype = DType::kBf16,
                          .num_blocks = 12,
                          .device = CpuDevice(),
                          .max_step_tokens = 128,
                          .max_samples = kMaxSamples});
}

class LocalExecutorTest : public testing::Test {
 protected:
  // Greedy, sampled, penalised; with and without log-probabilities; blocks in no order.
  std::vector<TestSequence> MakeSequences() const {
    const std::vector<std::vector<TokenId>> prompts = {{ids_.begin(), ids_.begin() + 60},
                                                       {ids_.begin() + 10, ids_.begin() + 11},
                                                       {ids_.begin(), ids_.begin() + 100},
                                                       {ids_.rbegin(), ids_.rbegin() + 33}};
    const std::vector<SamplingParams> params = {
        {.temperature = 0, .num_logprobs = 3},
        {.top_p = 0.9F, .seed = 7},
        {.temperature = 0.7F, .top_k = 20, .seed = 9, .num_logprobs = 0},
        {.min_p = 0.01F,
         .presence_penalty = 0.5F,
         .frequency_penalty = 0.2F,
         .repetition_penalty = 1.2F,
         .logit_bias = {{3, 2.0F}},
         .seed = 11,
         .num_logprobs = 5}};
    const std::vector<std::vector<int32_t>> blocks = {{7, 2}, {0, 9}, {4, 5}, {3, 1}};
    std::vector<TestSequence> sequences;
    for (size_t s = 0; s < prompts.size(); ++s) {
      sequences.push_back({.tokens = prompts[s],
                           .num_prompt_tokens = std::ssize(prompts[s]),
                           .blocks = blocks[s],
                           .params = params[s]});
    }
    return sequences;
  }

  const Golden golden_ = Golden::Load("v3-bf16");
  const std::vector<TokenId> ids_ = [this] {
    std::vector<TokenId> ids = golden_.Ids("input_ids");
    ids.insert(ids.end(), ids.begin(), ids.end());
    std::replace(ids.begin(), ids.end(), kBadToken, kBadToken + 1);
    return ids;
  }();
};

// What a sequence generates alone.
std::vector<SampledToken> GenerateAlone(const Golden& golden,
                                        const KernelTable& kernels,
                                        const TestSequence& sequence,
                                        int64_t num_generated) {
  ModelRunner runner(
      {.golden = golden, .kernels = kernels, .form = MlaForm::kAbsorbed, .num_threads = 3});
  auto alone = SequenceRunner::Create({.model = runner.model(),
                                       .context = runner.context(),
                                       .cache_dtype = DType::kBf16,
                                       .max_tokens = kMaxBlocks * kBlockSize,
                                       .chunk_tokens = 1000});
  CHECK(alone.ok());
  Sampler sampler(golden.config().vocab_size);
  std::vector<TokenId> tokens = sequence.tokens;
  std::span<const TokenId> next = tokens;
  std::vector<SampledToken> generated;
  while (std::ssize(generated) < num_generated) {
    SampledToken sampled;
    CHECK(sampler
              .Sample({.params = sequence.params,
                       .tokens = tokens,
                       .num_prompt_tokens = sequence.num_prompt_tokens,
                       .num_logprobs = sequence.params.num_logprobs,
                       .logits = alone->AppendAndPredict(next)},
                      sampled)
              .ok());
    generated.push_back(sampled);
    tokens.push_back(sampled.token);
    next = std::span(tokens).last(1);
  }
  return generated;
}

void ExpectEachEqualsItselfAlone(const Golden& golden,
                                 const KernelTable& kernels,
                                 std::vector<TestSequence> sequences,
                                 int64_t num_generated) {
  std::vector<std::vector<SampledToken>> expected;
  for (const TestSequence& sequence : sequences) {
    expected.push_back(GenerateAlone(golden, kernels, sequence, num_generated));
  }
  ExecutorFixture fixture = MakeExecutor(golden, kernels);
  std::vector<std::vector<SampledToken>> generated(sequences.size());
  std::mt19937 random(3);
  StepOutput output;
  const auto is_done = [=](const auto& tokens) { return std::ssize(tokens) >= num_generated; };
  while (!std::all_of(generated.begin(), generated.end(), is_done)) {
    std::vector<int64_t> num_tokens;
    for (size_t s = 0; s < sequences.size(); ++s) {
      num_tokens.push_back(is_done(generated[s]) ? 0 : 1 + static_cast<int64_t>(random() % 30));
    }
    const StepInput input = MakeStep(sequences, num_tokens);
    fixture.Run(input, output);
    ASSERT_EQ(output.samples.size(), input.samples.size());
    EXPECT_EQ(output.health, std::vector<RowHealth>(sequences.size(), RowHealth::kFinite));
    EXPECT_GT(output.forward_time, Duration::zero());
    EXPECT_GT(output.sample_time, Duration::zero());
    for (size_t i = 0; i < input.samples.size(); ++i) {
      const auto s = static_cast<size_t>(input.samples[i].sequence);
      if (sequences[s].num_computed == std::ssize(sequences[s].tokens)) {
        ExpectSame(output.samples[i], expected[s][generated[s].size()]);
        generated[s].push_back(output.samples[i]);
        sequences[s].tokens.push_back(output.samples[i].token);
      }
    }
  }
}

TEST_F(LocalExecutorTest, EqualsEachSequenceAloneBitForBit) {
  ExpectEachEqualsItselfAlone(golden_, BestKernels(), MakeSequences(), 24);
}

// The GPU's memory is out of the host's reach.
TEST_F(LocalExecutorTest, EqualsEachSequenceAloneOnAnEmulatedGpu) {
  if (!test::EmulatesCuda()) {
    GTEST_SKIP() << "no emulated GPU in this build";
  }
  std::vector<TestSequence> sequences = MakeSequences();
  sequences.erase(sequences.begin() + 2);  // the longest
  ExpectEachEqualsItselfAlone(golden_, test::EmulatedCudaTable(), sequences, 3);
}

TEST_F(LocalExecutorTest, OneRowGivesSamplesOfSeveralSequences) {
  std::vector<TestSequence> sequences = MakeSequences();
  ExecutorFixture fixture = MakeExecutor(golden_, BestKernels());
  StepInput input = MakeStep(sequences, {60, 1, 0, 33});
  const SampleRow& first = input.samples.front();
  std::vector<SamplingParams> params;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    params.push_back({.repetition_penalty = 1.5F, .seed = seed, .num_logprobs = 2});
  }
  StepInput forked = input;
  forked.samples.clear();
  for (const SamplingParams& fork : params) {
    forked.samples.push_back({.row = first.row,
                              .sequence = first.sequence,
                              .params = &fork,
                              .tokens = first.tokens,
                              .num_prompt_tokens = first.num_prompt_tokens});
  }
  forked.samples.insert(forked.samples.end(), input.samples.begin() + 1, input.samples.end());
  StepOutput output;
  fixture.Run(forked, output);
  StepOutput alone;
  size_t num_distinct = 0;
  for (size_t i = 0; i < forked.samples.size(); ++i) {
    StepInput single = input;
    single.samples = {forked.samples[i]};
    fixture.Run(single, alone);
    ExpectSame(output.samples[i], alone.samples.front());
    num_distinct += output.samples[i].token != output.samples[0].token ? 1 : 0;
  }
  EXPECT_GT(num_distinct, 5U);
}

// Without them the back end chooses where logits lie, with them a sampler on the host does. Some
// need the host for another reason, and share the row.
TEST_F(LocalExecutorTest, LogprobsChangeNoToken) {
  for (const KernelTable& kernels : test::WithEmulatedCuda({BestKernels()})) {
    std::vector<TestSequence> sequences = MakeSequences();
    ExecutorFixture fixture = MakeExecutor(golden_, kernels);
    StepInput input = MakeStep(sequences, {0, 1, 0, 5});
    std::vector<SamplingParams> params;
    for (uint64_t seed = 0; seed < 20; ++seed) {
      const SamplingParams base = {.temperature = seed % 5 == 0 ? 0.0F : 1.5F,
                                   .top_k = seed % 2 == 0 ? 0 : 50,
                                   .top_p = seed % 3 == 0 ? 1.0F : 0.9F,
                                   .min_p = seed % 7 == 0 ? 0.01F : 0.0F,
                                   .seed = seed};
      params.push_back(base);
      params.push_back(base);
      params.back().num_logprobs = 2;
      params.push_back(base);
      params.back().logit_bias = {{17, 0.0F}};
    }
    const std::vector<SampleRow> rows = input.samples;
    input.samples.clear();
    for (SampleRow row : rows) {
      for (const SamplingParams& each : params) {
        row.params = &each;
        input.samples.push_back(row);
      }
    }
    StepOutput output;
    fixture.Run(input, output);
    for (size_t i = 0; i < output.samples.size(); i += 3) {
      EXPECT_NE(output.samples[i].token, kNoToken);
      EXPECT_EQ(output.samples[i + 1].token, output.samples[i].token);
      EXPECT_EQ(output.samples[i + 2].token, output.samples[i].token);
      EXPECT_TRUE(output.samples[i].top_logprobs.empty());
      EXPECT_EQ(output.samples[i + 1].top_logprobs.size(), 2U);
    }
  }
}

// More rows than go through lm_head at a time.
TEST_F(LocalExecutorTest, EveryRowOfALongStepCanBeSampled) {
  std::vector<TestSequence> sequences = MakeSequences();
  ExecutorFixture fixture = MakeExecutor(golden_, BestKernels());
  const SamplingParams greedy = {.temperature = 0, .num_logprobs = 1};
  StepInput input = MakeStep(sequences, {0, 0, 100, 0});
  input.samples.clear();
  for (int32_t row = 0; row < 100; ++row) {
    const SampleRow sample = {.row = row,
                              .sequence = 2,
                              .params = &greedy,
                              .tokens = std::span(sequences[2].tokens).first(size_t(row) + 1),
                              .num_prompt_tokens = row + 1};
    input.samples.insert(input.samples.end(), row % 3 == 0 ? 2 : 1, sample);
  }
  StepOutput output;
  fixture.Run(input, output);
  ASSERT_EQ(output.samples.size(), input.samples.size());
  ModelRunner runner(golden_, "auto", MlaForm::kAbsorbed);
  const std::vector<float> logits = runner.Logits(sequences[2].tokens, 1000, DType::kBf16);
  const int64_t vocab_size = golden_.config().vocab_size;
  for (size_t i = 0; i < input.samples.size(); ++i) {
    const auto begin = logits.begin() + input.samples[i].row * vocab_size;
    EXPECT_EQ(output.samples[i].token, std::max_element(begin, begin + vocab_size) - begin);
  }
  input.samples.clear();
  fixture.Run(input, output);
  EXPECT_TRUE(output.samples.empty());
  EXPECT_EQ(output.health.size(), 4U);
}

// A sequence that shares its first, partly filled block with another goes on in a copy of it.
class BlockCopyTest : public LocalExecutorTest, public testing::WithParamInterface<bool> {};

TEST_P(BlockCopyTest, BlocksAreCopiedBeforeTheStep) {
  if (GetParam() && !test::EmulatesCuda()) {
    GTEST_SKIP() << "no emulated GPU in this build";
  }
  const KernelTable kernels = GetParam() ? test::EmulatedCudaTable() : BestKernels();
  const TestSequence original = {.tokens = {ids_.begin(), ids_.begin() + 40},
                                 .num_prompt_tokens = 40,
                                 .blocks = {7, 2},
                                 .params = {.temperature = 0, .num_logprobs = 2}};
  std::vector<TestSequence> whole = {original};
  ExecutorFixture fixture = MakeExecutor(golden_, kernels);
  StepOutput expected;
  fixture.Run(MakeStep(whole, {40}), expected);

  std::vector<TestSequence> parent = {original};
  StepOutput output;
  fixture.Run(MakeStep(parent, {30}), output);
  std::vector<TestSequence> both = {original, original};
  both[0].num_computed = 30;
  both[0].tokens[30] ^= 1;
  both[1].num_computed = 30;
  both[1].blocks = {11, 10};
  StepInput input = MakeStep(both, {10, 10});
  input.copies = {{.source = 7, .destination = 11}};
  fixture.Run(input, output);
  ExpectSame(output.samples[1], expected.samples[0]);
}

INSTANTIATE_TEST_SUITE_P(IsEmulatedGpu, BlockCopyTest, testing::Bool());

// Block 3 was another sequence's; the rest of its rows must not matter.
TEST_F(LocalExecutorTest, ANanHurtsItsOwnSequenceAlone) {
  Golden poisoned = Golden::Load("v3-bf16");
  poisoned.PoisonEmbedding(kBadToken);
  const std::vector<TestSequence> clean = MakeSequences();
  ExecutorFixture good = MakeExecutor(golden_, BestKernels());
  ExecutorFixture bad = MakeExecutor(poisoned, BestKernels());
  StepOutput expected;
  StepOutput output;
  for (const int64_t place : {0, 12, 32}) {
    std::vector<TestSequence> expected_sequences = clean;
    std::vector<TestSequence> sequences = clean;
    sequences[3].tokens[static_cast<size_t>(place)] = kBadToken;
    good.Run(MakeStep(expected_sequences, {20, 1, 40, 33}), expected);
    bad.Run(MakeStep(sequences, {20, 1, 40, 33}), output);
    EXPECT_EQ(
        output.health,
        (std::vector<RowHealth>{
            RowHealth::kFinite, RowHealth::kFinite, RowHealth::kFinite, RowHealth::kNotFinite}));
    for (size_t i = 0; i < 3; ++i) {
      ExpectSame(output.samples[i], expected.samples[i]);
    }
    for (const KernelHealth& kernel : bad.executor().kernel_health()) {
      EXPECT_EQ(kernel.num_faults, 0) << kernel.op << ": the weights were to blame";
    }
  }
  // The blocks are reused by healthy sequences, whose own rows are all that they read.
  for (int32_t round = 0; round < 100; ++round) {
    std::vector<TestSequence> next = clean;
    std::vector<TestSequence> expected_next = clean;
    std::swap(next[round % 3].blocks, next[3].blocks);
    good.Run(MakeStep(expected_next, {20, 1, 40, 33}), expected);
    bad.Run(MakeStep(next, {20, 1, 40, 33}), output);
    for (size_t i = 0; i < 4; ++i) {
      ExpectSame(output.samples[i], expected.samples[i]);
    }
  }
}

// A row of lm_head is NaN, and for one sequence it is the only token that it may choose.
TEST_F(LocalExecutorTest, LogitsWithoutAFiniteSumHurtTheirSequenceAlone) {
  KernelTable kernels = BestKernels();
  std::vector<TestSequence> sequences = MakeSequences();
  ExecutorFixture fixture = MakeExecutor(golden_, kernels);
  constexpr TokenId kOnlyToken = 17;
  sequences[1].params.min_tokens = 1;
  for (TokenId token = 0; token < golden_.config().vocab_size; ++token) {
    if (token != kOnlyToken) {
      sequences[1].params.ending_token_ids.push_back(token);
    }
  }
  StepOutput output;
  fixture.Run(MakeStep(sequences, {1, 1, 1, 1}), output);
  EXPECT_EQ(output.health, std::vector<RowHealth>(4, RowHealth::kFinite));
  EXPECT_EQ(output.samples[1].token, kOnlyToken);

  Golden poisoned = Golden::Load("v3-bf16");
  poisoned.PoisonHead(kOnlyToken);
  ExecutorFixture bad = MakeExecutor(poisoned, kernels);
  for (TestSequence& sequence : sequences) {
    sequence.num_computed = 0;
  }
  StepOutput bad_output;
  bad.Run(MakeStep(sequences, {1, 1, 1, 1}), bad_output);
  EXPECT_EQ(
      bad_output.health,
      (std::vector<RowHealth>{
          RowHealth::kFinite, RowHealth::kNotFinite, RowHealth::kFinite, RowHealth::kFinite}));
  for (const size_t i : {0, 2, 3}) {
    EXPECT_EQ(bad_output.samples[i].token, output.samples[i].token);
  }
}

TEST_F(LocalExecutorTest, StatsAreThoseOfTheStep) {
  std::vector<TestSequence> sequences = MakeSequences();
  ExecutorFixture fixture = MakeExecutor(golden_, BestKernels());
  StepOutput output;
  fixture.Run(MakeStep(sequences, {20, 1, 40, 33}), output);
  fixture.Run(MakeStep(sequences, {2, 0, 3, 0}), output);
  const StepStats& stats = output.stats;
  EXPECT_EQ(stats.context_tokens, 22 + 43);
  EXPECT_EQ(stats.attended_tokens, (21 + 22) + (41 + 42 + 43));
  EXPECT_EQ(stats.num_logits_rows, 2);
  const ModelConfig& config = golden_.config();
  EXPECT_EQ(stats.num_moe_layers, 2);
  EXPECT_EQ(stats.n_routed_experts, config.n_routed_experts);
  ASSERT_EQ(std::ssize(stats.expert_tokens), 2 * config.n_routed_experts);
  for (const int64_t layer : {0, 1}) {
    const auto first = stats.expert_tokens.begin() + layer * config.n_routed_experts;
    EXPECT_EQ(std::accumulate(first, first + config.n_routed_experts, 0),
              5 * config.num_experts_per_tok);
  }
  EXPECT_GT(stats.num_active_experts, 0);
  EXPECT_GT(stats.flops, 0);
  EXPECT_GT(stats.weight_bytes, 0);
  EXPECT_GT(stats.cache_bytes, 0);
}

TEST_F(LocalExecutorTest, NoRoomForBuffersIsResourceExhausted) {
  constexpr Device kFullDevice = {
      "full", [](size_t /*size_bytes*/) -> void* { return nullptr; }, [](void* /*data*/) {}};
  ModelRunner runner(golden_, "auto", MlaForm::kAbsorbed);
  ThreadPool pool(1);
  auto cache = KvCache::Create({.config = golden_.config(),
                                .mtp = MtpCache::kNone,
                                .dtype = DType::kBf16,
                                .num_blocks = 1,
                                .device = CpuDevice()});
  ASSERT_TRUE(cache.ok());
  const auto executor = LocalExecutor::Create({.model = runner.model(),
                                               .cache = *std::move(cache),
                                               .pool = pool,
                                               .device = kFullDevice,
                                               .max_step_tokens = 8,
                                               .max_samples = 8,
                                               .scratch_bytes = 1});
  EXPECT_EQ(executor.status().code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(LocalExecutorTest, EndsWhileAStepRuns) {
  std::vector<TestSequence> sequences = MakeSequences();
  const StepInput input = MakeStep(sequences, {20, 1, 40, 33});
  ExecutorFixture fixture = MakeExecutor(golden_, BestKernels());
  fixture.executor().Submit(input);
}

}  // namespace
}  // namespace hadal
