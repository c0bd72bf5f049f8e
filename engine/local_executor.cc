#include "engine/local_executor.h"

#include <algorithm>
#include <chrono>
#include <pthread.h>
#include <utility>

#include "base/check.h"
#include "base/log.h"

namespace hadal {
namespace {

constexpr size_t kUsualLogprobs = 20;  // the most that the OpenAI API allows

// CHECKs what executor.h says of samples, and that rows lie in their sequences.
void CheckSamples(const StepInput& input) {
  const ForwardBatch& batch = input.batch;
  int32_t last_row = 0;
  for (const SampleRow& sample : input.samples) {
    CHECK(sample.sequence >= 0 && sample.sequence < batch.num_sequences());
    const auto sequence = static_cast<size_t>(sample.sequence);
    CHECK_GE(sample.row, batch.query_starts[sequence]);
    CHECK_LT(sample.row, batch.query_starts[sequence + 1]);
    CHECK_GE(sample.row, last_row);
    CHECK(sample.params != nullptr);
    CHECK(!sample.tokens.empty());
    last_row = sample.row;
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<LocalExecutor>> LocalExecutor::Create(Args args) {
  CHECK_GT(args.max_step_tokens, 0);
  CHECK_GT(args.max_samples, 0);
  const ModelConfig& config = args.model.config();
  const Device& model_device = *args.model.kernels().device;
  ASSIGN_OR_RETURN(
      DeviceBuffer hidden,
      DeviceBuffer::Allocate(
          model_device,
          static_cast<size_t>(args.max_step_tokens * config.hidden_size) * sizeof(float)));
  ASSIGN_OR_RETURN(BatchSampler sampler,
                   BatchSampler::Create({.config = config,
                                         .device = args.device,
                                         .model_device = model_device,
                                         .num_threads = args.pool.num_threads(),
                                         .max_samples = args.max_samples}));
  std::optional<Drafter> drafter;
  if (args.can_draft) {
    ASSIGN_OR_RETURN(
        drafter,
        Drafter::Create(
            {.config = config, .device = model_device, .max_step_tokens = args.max_step_tokens}));
  }
  const auto scratch_bytes = static_cast<size_t>(args.scratch_bytes);
  std::unique_ptr<LocalExecutor> executor(new LocalExecutor(
      std::move(args), std::move(hidden), std::move(sampler), std::move(drafter)));
  RETURN_IF_ERROR(executor->context_.scratch.Reserve(scratch_bytes));
  return executor;
}

LocalExecutor::LocalExecutor(Args args,
                             DeviceBuffer hidden,
                             BatchSampler sampler,
                             std::optional<Drafter> drafter)
    : args_(std::move(args)),
      hidden_buffer_(std::move(hidden)),
      hidden_(MakeView(static_cast<float*>(hidden_buffer_.data()),
                       args_.max_step_tokens,
                       args_.model.config().hidden_size)),
      sampler_(std::move(sampler)),
      drafter_(std::move(drafter)),
      host_scratch_(args_.device),
      device_scratch_(*args_.model.kernels().device),
      guard_(args_.model.kernels()),
      context_{{.pool = args_.pool,
                .scratch = args_.model.kernels().device->is_host ? host_scratch_ : device_scratch_,
                .host_scratch = &host_scratch_,
                .recordings = &recordings_},
               guard_},
      model_(args_.model.WithKernels(guard_.table())),
      careful_model_(args_.model.WithKernels(guard_.careful_table())),
      cost_(args_.model.config(), args_.model.weights(), args_.cache.dtype()),
      load_(args_.model.config()),
      samples_(static_cast<size_t>(args_.max_samples)),
      spare_logprobs_(samples_.size()) {
  health_.reserve(static_cast<size_t>(args_.max_step_tokens));
  certain_ends_.reserve(static_cast<size_t>(args_.max_step_tokens));
  drafts_.reserve(static_cast<size_t>(args_.max_step_tokens));
  for (size_t i = 0; i < samples_.size(); ++i) {
    samples_[i].top_logprobs.reserve(kUsualLogprobs);
    spare_logprobs_[i].reserve(kUsualLogprobs);
  }
  exec_ = std::thread([this] { ExecMain(); });
  pthread_setname_np(exec_.native_handle(), "exec");
}

LocalExecutor::~LocalExecutor() {
  {
    const absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  exec_.join();
}

void LocalExecutor::Submit(const StepInput& input) {
  CHECK_GT(input.batch.num_tokens(), 0);
  CHECK_LE(input.batch.num_tokens(), args_.max_step_tokens);
  CHECK_LE(std::ssize(input.samples), args_.max_samples);
  CheckSamples(input);
  CHECK(input.drafts.empty() || drafter_.has_value());
  CHECK(input.drafts.empty() || std::ssize(input.drafts) == input.batch.num_sequences());
  const absl::MutexLock lock(&mutex_);
  CHECK(state_ == State::kIdle);
  input_ = &input;
  state_ = State::kSubmitted;
}

absl::Status LocalExecutor::Wait(StepOutput& output) {
  const absl::MutexLock lock(&mutex_);
  CHECK(state_ != State::kIdle);
  const auto is_done = [this]()
                           ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return state_ == State::kDone; };
  mutex_.Await(absl::Condition(&is_done));
  HandOver(output);
  state_ = State::kIdle;
  return absl::OkStatus();
}

void LocalExecutor::ExecMain() {
  args_.pool.PinCaller();
  while (true) {
    const StepInput* input = nullptr;
    {
      const absl::MutexLock lock(&mutex_);
      const auto has_work = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
        return stopping_ || state_ == State::kSubmitted;
      };
      mutex_.Await(absl::Condition(&has_work));
      if (stopping_) {
        return;
      }
      input = input_;
    }
    RunStep(*input);
    const absl::MutexLock lock(&mutex_);
    state_ = State::kDone;
  }
}

void LocalExecutor::RunStep(const StepInput& input) {
  const TimePoint start = std::chrono::steady_clock::now();
  for (const BlockCopy& copy : input.copies) {
    args_.cache.CopyBlock(copy.source, copy.destination);
  }
  forward_time_ = std::chrono::steady_clock::now() - start;
  sample_time_ = {};
  RunModel(input, model_);
  if (!IsHealthy()) {
    RunCarefully(input);
  }
  Draft(input);
  CountWork(input.batch);
}

void LocalExecutor::Draft(const StepInput& input) {
  const TimePoint start = std::chrono::steady_clock::now();
  drafts_.clear();
  if (!input.drafts.empty()) {
    drafter_->Draft({.model = model_,
                     .cache = args_.cache,
                     .context = context_,
                     .sampler = sampler_,
                     .input = input,
                     .hidden = hidden_,
                     .samples = samples_,
                     .health = health_},
                    drafts_);
  }
  draft_time_ = std::chrono::steady_clock::now() - start;
}

// All of a step but its copies. It may be run again: the same rows are written from the same ones.
void LocalExecutor::RunModel(const StepInput& input, const Model& model) {
  const TimePoint start = std::chrono::steady_clock::now();
  const ScratchScope scope(HostScratch(context_));
  const BatchSampler::Work sampling = {.model = model,
                                       .context = context_,
                                       .hidden = hidden_,
                                       .samples = input.samples,
                                       .logprobs = BatchSampler::Logprobs::kAsAsked};
  const StepResults results = model.Begin({.batch = input.batch,
                                           .cache = args_.cache,
                                           .context = context_,
                                           .hidden = hidden_.Slice(0, input.batch.num_tokens()),
                                           .tail = sampler_.Begin(sampling)});
  model.kernels().device->finish_copies();
  const TimePoint forward_end = std::chrono::steady_clock::now();
  load_.Count(results.expert_ids);
  CheckHidden(input, results.is_finite);
  num_logits_rows_ = sampler_.Finish(sampling, health_, results.token_ids, samples_);
  CheckSampled(input);
  forward_time_ += forward_end - start;
  sample_time_ += std::chrono::steady_clock::now() - forward_end;
}

bool LocalExecutor::IsHealthy() const {
  return std::find(health_.begin(), health_.end(), RowHealth::kNotFinite) == health_.end();
}

void LocalExecutor::RunCarefully(const StepInput& input) {
  guard_.BeginStep();
  RunModel(input, careful_model_);
  const int64_t num_to_blame = guard_.EndStep();
  if (IsHealthy() && num_to_blame == 0) {
    Log(LogLevel::kError,
        "a step gave numbers that are not finite, and finite ones when it was run again: memory or "
        "processor may be failing");
  }
  // The blocks will have other owners: what they read must not be NaN even by mistake.
  const ForwardBatch& batch = input.batch;
  for (size_t s = 0; s < health_.size(); ++s) {
    if (health_[s] == RowHealth::kNotFinite) {
      for (int32_t row = batch.query_starts[s]; row < batch.query_starts[s + 1]; ++row) {
        args_.cache.ZeroRow(batch.slots[static_cast<size_t>(row)], 0);
      }
    }
  }
}

void LocalExecutor::CountWork(const ForwardBatch& batch) {
  int64_t attended_tokens = 0;
  for (const int32_t position : batch.positions) {
    attended_tokens += position + 1;
  }
  int64_t context_tokens = 0;
  for (size_t s = 0; s + 1 < batch.query_starts.size(); ++s) {
    const int32_t end = batch.query_starts[s + 1];
    if (end > batch.query_starts[s]) {
      context_tokens += batch.positions[static_cast<size_t>(end - 1)] + 1;
    }
  }
  cost_.Estimate({.num_tokens = batch.num_tokens(),
                  .num_logits_rows = num_logits_rows_,
                  .attended_tokens = attended_tokens,
                  .context_tokens = context_tokens,
                  .expert_tokens = load_.tokens()},
                 stats_);
}

// Drafts may be tokens that the model cannot digest: their rows are left out.
void LocalExecutor::CheckHidden(const StepInput& input,
                                const TensorView<const int32_t, 1>& is_finite) {
  const ForwardBatch& batch = input.batch;
  health_.assign(static_cast<size_t>(batch.num_sequences()), RowHealth::kFinite);
  certain_ends_.assign(batch.query_starts.begin() + 1, batch.query_starts.end());
  for (const SampleRow& sample : input.samples) {
    if (sample.drafts.empty()) {
      certain_ends_[static_cast<size_t>(sample.sequence)] = sample.row + 1;
    }
  }
  for (size_t s = 0; s < health_.size(); ++s) {
    for (int64_t row = batch.query_starts[s]; row < certain_ends_[s]; ++row) {
      if (is_finite(row) == 0) {
        health_[s] = RowHealth::kNotFinite;
      }
    }
  }
}

void LocalExecutor::CheckSampled(const StepInput& input) {
  for (size_t i = 0; i < input.samples.size(); ++i) {
    const SampleRow& sample = input.samples[i];
    if (samples_[i].token != kNoToken) {
      continue;
    }
    if (sample.drafts.empty()) {
      health_[static_cast<size_t>(sample.sequence)] = RowHealth::kNotFinite;
    } else {
      args_.cache.ZeroRow(input.batch.slots[static_cast<size_t>(sample.row)], 0);
    }
  }
}

// The caller's samples and ours change places, and what a shorter output leaves over is kept for a
// longer one: the memory of log-probabilities goes round.
void LocalExecutor::HandOver(StepOutput& output) {
  const size_t num_samples = input_->samples.size();
  const size_t num_before = output.samples.size();
  for (size_t i = num_samples; i < num_before; ++i) {
    if (spare_logprobs_.size() < spare_logprobs_.capacity()) {
      spare_logprobs_.push_back(std::move(output.samples[i].top_logprobs));
    }
  }
  output.samples.resize(num_samples);
  for (size_t i = num_before; i < num_samples && !spare_logprobs_.empty(); ++i) {
    output.samples[i].top_logprobs = std::move(spare_logprobs_.back());
    spare_logprobs_.pop_back();
  }
  for (size_t i = 0; i < num_samples; ++i) {
    std::swap(output.samples[i], samples_[i]);
  }
  output.health.assign(health_.begin(), health_.end());
  output.forward_time = forward_time_;
  output.drafts.assign(drafts_.begin(), drafts_.end());
  output.sample_time = sample_time_;
  output.draft_time = draft_time_;
  output.stats = stats_;  // copied, so that both keep their memory
}

}  // namespace hadal
