#include "tests/support/test_steps.h"

#include <algorithm>
#include <utility>

#include "engine/step_memory.h"

namespace hadal {

StepInput MakeStep(std::vector<TestSequence>& sequences, const std::vector<int64_t>& num_tokens) {
  CHECK_EQ(sequences.size(), num_tokens.size());
  StepInput input;
  ForwardBatch& batch = input.batch;
  batch.query_starts = {0};
  for (size_t s = 0; s < sequences.size(); ++s) {
    TestSequence& sequence = sequences[s];
    const int64_t end =
        std::min(std::ssize(sequence.tokens), sequence.num_computed + num_tokens[s]);
    for (int64_t position = sequence.num_computed; position < end; ++position) {
      batch.token_ids.push_back(sequence.tokens[static_cast<size_t>(position)]);
      batch.positions.push_back(static_cast<int32_t>(position));
      batch.slots.push_back(sequence.blocks[static_cast<size_t>(position / kBlockSize)] *
                                kBlockSize +
                            position % kBlockSize);
    }
    batch.max_blocks = std::ssize(sequence.blocks);
    batch.block_tables.insert(
        batch.block_tables.end(), sequence.blocks.begin(), sequence.blocks.end());
    batch.query_starts.push_back(static_cast<int32_t>(batch.num_tokens()));
    if (end > sequence.num_computed) {
      input.samples.push_back({.row = static_cast<int32_t>(batch.num_tokens() - 1),
                               .sequence = static_cast<int32_t>(s),
                               .params = &sequence.params,
                               .tokens = std::span(sequence.tokens).first(static_cast<size_t>(end)),
                               .num_prompt_tokens = std::min(sequence.num_prompt_tokens, end)});
      sequence.num_computed = end;
    }
  }
  return input;
}

ExecutorFixture::ExecutorFixture(const Args& args)
    : pool_(args.num_threads),
      kernels_(args.kernels),
      device_weights_(WeightsOn(*kernels_.device, args.golden)),
      model_({.config = args.golden.config(),
              .weights = device_weights_.has_value() ? *device_weights_ : args.golden.weights(),
              .kernels = kernels_,
              .mla_form = MlaForm::kAbsorbed}) {
  auto cache = KvCache::Create({.config = args.golden.config(),
                                .mtp = args.can_draft ? MtpCache::kIncluded : MtpCache::kNone,
                                .dtype = args.cache_dtype,
                                .num_blocks = args.num_blocks,
                                .device = *kernels_.device});
  CHECK(cache.ok());
  const StepMemory steps = MemoryOfSteps({.config = args.golden.config(),
                                          .device = *kernels_.device,
                                          .num_threads = args.num_threads,
                                          .max_step_tokens = args.max_step_tokens,
                                          .max_sequences = args.max_samples,
                                          .max_sequence_tokens = args.num_blocks * kBlockSize,
                                          .max_samples = args.max_samples,
                                          .can_draft = args.can_draft});
  auto executor = LocalExecutor::Create(
      {.model = model_,
       .cache = *std::move(cache),
       .pool = pool_,
       .device = args.device,
       .max_step_tokens = args.max_step_tokens,
       .max_samples = args.max_samples,
       .scratch_bytes = args.scratch_bytes > 0 ? args.scratch_bytes : steps.scratch_bytes,
       .can_draft = args.can_draft});
  CHECK(executor.ok());
  executor_ = *std::move(executor);
}

void ExecutorFixture::Run(const StepInput& input, StepOutput& output) {
  executor_->Submit(input);
  CHECK(executor_->Wait(output).ok());
}

KernelTable BestKernels() {
  const absl::StatusOr<KernelTable> kernels = BuildKernelTable("auto");
  CHECK(kernels.ok());
  return *kernels;
}

}  // namespace hadal
