#include "engine/step_memory.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include <gtest/gtest.h>

#include "tests/support/emulated_table.h"
#include "tests/support/published_config.h"
#include "tests/support/test_steps.h"

namespace hadal {
namespace {

constexpr int64_t kNumSequences = 6;
constexpr int64_t kBlocksOfSequence = 12;  // in tables: few of them are filled

struct StepMemoryCase {
  std::string golden;
  WeightPacking packing;
  int64_t max_step_tokens;
};

struct Executor {
  bool can_draft;
  StepMemory memory;
  ExecutorFixture fixture;
};

Executor MakeExecutor(const Golden& golden,
                      const KernelTable& kernels,
                      int64_t max_step_tokens,
                      int64_t share) {
  const bool can_draft = golden.config().num_nextn_predict_layers > 0;
  constexpr int64_t kNumBlocks = kNumSequences * kBlocksOfSequence;
  constexpr int32_t kThreads = 3;
  const StepMemory memory = MemoryOfSteps({.config = golden.config(),
                                           .device = *kernels.device,
                                           .num_threads = kThreads,
                                           .max_step_tokens = max_step_tokens,
                                           .max_sequences = kNumSequences,
                                           .max_sequence_tokens = kBlocksOfSequence * kBlockSize,
                                           .max_samples = kNumSequences,
                                           .can_draft = can_draft});
  return {.can_draft = can_draft,
          .memory = memory,
          .fixture = ExecutorFixture({.golden = golden,
                                      .kernels = kernels,
                                      .num_threads = kThreads,
                                      .cache_dtype = DType::kBf16,
                                      .num_blocks = kNumBlocks,
                                      .device = CpuDevice(),
                                      .max_step_tokens = max_step_tokens,
                                      .max_samples = kNumSequences,
                                      .can_draft = can_draft,
                                      .scratch_bytes = memory.scratch_bytes / share})};
}

// A step of new sequences with so many tokens in all, which asks for drafts where it may.
void RunStep(Executor& executor, const Golden& golden, int64_t num_tokens, int64_t num_sequences) {
  std::vector<TestSequence> sequences;
  std::vector<int64_t> counts;
  for (int64_t s = 0; s < num_sequences; ++s) {
    const int64_t count = num_tokens / num_sequences + (s < num_tokens % num_sequences ? 1 : 0);
    counts.push_back(count);
    TestSequence sequence = {
        .tokens = {}, .num_prompt_tokens = count, .blocks = {}, .params = {.seed = 7}};
    for (int64_t t = 0; t < count; ++t) {
      sequence.tokens.push_back(
          static_cast<TokenId>((t * 31 + s * 7) % golden.config().vocab_size));
    }
    sequence.blocks.resize(kBlocksOfSequence);
    std::iota(sequence.blocks.begin(),
              sequence.blocks.end(),
              static_cast<int32_t>(s * kBlocksOfSequence));
    sequences.push_back(sequence);
  }
  StepInput input = MakeStep(sequences, counts);
  if (executor.can_draft) {
    input.drafts.assign(sequences.size(), {.num_drafts = 1});
  }
  StepOutput output;
  executor.fixture.Run(input, output);
}

Golden LoadCase(const StepMemoryCase& model) {
  if (model.golden == "demo") {
    return Golden::Demo();
  }
  return model.packing == WeightPacking::kNative ? Golden::Load(model.golden)
                                                 : Golden::LoadPacked(model.golden, model.packing);
}

class StepMemoryTest : public testing::TestWithParam<StepMemoryCase> {
 protected:
  const Golden golden_ = LoadCase(GetParam());
};

TEST_P(StepMemoryTest, NoStepTakesMore) {
  for (const KernelTable& kernels :
       test::WithEmulatedCuda({BestKernels(), test::EmulatedTilesTable()})) {
    SCOPED_TRACE(kernels.linear.implementation);
    Executor executor = MakeExecutor(golden_, kernels, GetParam().max_step_tokens, 1);
    for (const auto& [num_tokens, num_sequences] :
         {std::pair(GetParam().max_step_tokens, kNumSequences),
          std::pair(std::min(GetParam().max_step_tokens, int64_t{64}), int64_t{1}),
          std::pair(int64_t{13}, int64_t{5})}) {
      RunStep(executor, golden_, num_tokens, num_sequences);
      EXPECT_EQ(executor.fixture.executor().scratch_bytes(),
                static_cast<size_t>(executor.memory.scratch_bytes))
          << num_tokens << " tokens of " << num_sequences << " sequences";
    }
  }
}

TEST_P(StepMemoryTest, TheLargestTakesAThirdOrMore) {
  if (!test::EmulatesCuda()) {
    GTEST_SKIP() << "no emulated GPU in this build";
  }
  for (const KernelTable& kernels : test::WithEmulatedCuda({})) {
    constexpr int64_t kShare = 3;
    Executor executor = MakeExecutor(golden_, kernels, GetParam().max_step_tokens, kShare);
    RunStep(executor, golden_, GetParam().max_step_tokens, kNumSequences);
    EXPECT_GT(executor.fixture.executor().scratch_bytes(),
              static_cast<size_t>(executor.memory.scratch_bytes / kShare));
  }
}

INSTANTIATE_TEST_SUITE_P(Models,
                         StepMemoryTest,
                         testing::Values(StepMemoryCase{"v3-bf16", WeightPacking::kNative, 100},
                                         StepMemoryCase{"v3-fp8", WeightPacking::kNative, 100},
                                         StepMemoryCase{"v3-f32", WeightPacking::kNative, 100},
                                         StepMemoryCase{"v2-lite", WeightPacking::kNative, 100},
                                         StepMemoryCase{"v3-bf16", WeightPacking::kInt8, 100},
                                         StepMemoryCase{"kimi", WeightPacking::kInt4, 100},
                                         StepMemoryCase{"demo", WeightPacking::kNative, 16}));

// Sums by hand, of the largest parts.
TEST(StepMemoryOfPublishedModelsTest, IsThatOfTheExpertsRows) {
  const ModelConfig config = ReadPublishedConfig("deepseek-v3");
  const Device device = [] {
    Device other = CpuDevice();
    other.is_host = false;
    return other;
  }();
  const auto memory_of = [&](int64_t max_step_tokens) {
    return MemoryOfSteps({.config = config,
                          .device = device,
                          .num_threads = 16,
                          .max_step_tokens = max_step_tokens,
                          .max_sequences = 64,
                          .max_sequence_tokens = 163'840,
                          .max_samples = 128,
                          .can_draft = false});
  };
  // For each token and each of nine experts: a row of the result, and the hidden state, split.
  const int64_t rows = int64_t{8192} * 9 * (7168 + 2048) * 4;
  EXPECT_GT(memory_of(8192).scratch_bytes, rows);
  EXPECT_LT(memory_of(8192).scratch_bytes, rows * 5 / 4);
  EXPECT_EQ(memory_of(8192).buffer_bytes,
            int64_t{8192} * 7168 * 4 + int64_t{64} * (7168 + 129'280) * 4);
  // One token takes a fraction of what attention is cut to.
  EXPECT_LT(memory_of(1).scratch_bytes, int64_t{256} << 20U);
}

// All that a config may ask for at once (engine/checkpoint/model_config.cc), in the largest steps
// (scheduler/limits.cc); sanitizers see sums that overflow on the way.
TEST(StepMemoryOfPublishedModelsTest, TheLargestConfigDoesNotOverflow) {
  constexpr int64_t kMostOfASize = int64_t{1} << 20U;
  constexpr int64_t kMostOfAHead = int64_t{1} << 13U;
  ModelConfig config = ReadPublishedConfig("deepseek-v3");
  config.num_hidden_layers = 1024;
  config.vocab_size = kMostOfASize;
  config.hidden_size = kMostOfASize;
  config.intermediate_size = kMostOfASize;
  config.moe_intermediate_size = kMostOfASize;
  config.q_lora_rank = kMostOfASize;
  config.kv_lora_rank = kMostOfASize;
  config.num_attention_heads = 4096;
  config.qk_nope_head_dim = kMostOfAHead;
  config.qk_rope_head_dim = kMostOfAHead;
  config.v_head_dim = kMostOfAHead;
  config.n_routed_experts = 4096;
  config.num_experts_per_tok = 4096;
  config.n_shared_experts = 64;
  for (const bool is_host : {true, false}) {
    Device device = CpuDevice();
    device.is_host = is_host;
    const int64_t bytes = MemoryOfSteps({.config = config,
                                         .device = device,
                                         .num_threads = 1024,
                                         .max_step_tokens = 65'536,
                                         .max_sequences = 65'536,
                                         .max_sequence_tokens = int64_t{1} << 28U,
                                         .max_samples = int64_t{65'536} * 9,
                                         .can_draft = true})
                              .total_bytes();
    // One hidden row of each pair of token and expert is part of it.
    EXPECT_GT(bytes, int64_t{65'536} * 4096 * kMostOfASize * 4);
    EXPECT_LT(bytes, int64_t{1} << 60U);
  }
}

}  // namespace
}  // namespace hadal
