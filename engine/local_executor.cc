#include "engine/local_executor.h"

#include <algorithm>
#include <chrono>
#include <pthread.h>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "engine/finite.h"
#include "kernels/reference/table.h"

namespace hadal {
namespace {

constexpr int64_t kSliceRows = 64;  // of logits at a time: they share one pass over lm_head
constexpr int32_t kNoRow = -1;
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

TensorView<float, 2> ViewOf(const DeviceBuffer& buffer, int64_t rows, int64_t columns) {
  return MakeView(static_cast<float*>(buffer.data()), rows, columns);
}

}  // namespace

absl::StatusOr<std::unique_ptr<LocalExecutor>> LocalExecutor::Create(Args args) {
  CHECK_GT(args.max_step_tokens, 0);
  CHECK_GT(args.max_samples, 0);
  const ModelConfig& config = args.model.config();
  const auto allocate = [&args](int64_t rows, int64_t columns) {
    return DeviceBuffer::Allocate(args.device, static_cast<size_t>(rows * columns) * sizeof(float));
  };
  Buffers buffers;
  ASSIGN_OR_RETURN(buffers.hidden, allocate(args.max_step_tokens, config.hidden_size));
  ASSIGN_OR_RETURN(buffers.sliced_hidden, allocate(kSliceRows, config.hidden_size));
  ASSIGN_OR_RETURN(buffers.logits, allocate(kSliceRows, config.vocab_size));
  ASSIGN_OR_RETURN(buffers.logits_copies, allocate(args.pool.num_threads(), config.vocab_size));
  return std::unique_ptr<LocalExecutor>(new LocalExecutor(std::move(args), std::move(buffers)));
}

LocalExecutor::LocalExecutor(Args args, Buffers buffers)
    : args_(std::move(args)),
      buffers_(std::move(buffers)),
      hidden_(ViewOf(buffers_.hidden, args_.max_step_tokens, args_.model.config().hidden_size)),
      sliced_hidden_(ViewOf(buffers_.sliced_hidden, kSliceRows, args_.model.config().hidden_size)),
      logits_(ViewOf(buffers_.logits, kSliceRows, args_.model.config().vocab_size)),
      logits_copies_(ViewOf(
          buffers_.logits_copies, args_.pool.num_threads(), args_.model.config().vocab_size)),
      scratch_(args_.device),
      guard_(args_.model.kernels(), reference::MakeTable()),
      context_{{args_.pool, scratch_}, guard_},
      model_(args_.model.WithKernels(guard_.table())),
      careful_model_(args_.model.WithKernels(guard_.careful_table())),
      cost_(args_.model.config(), args_.model.weights(), args_.cache.dtype()),
      load_(args_.model.config()),
      picks_(static_cast<size_t>(args_.max_samples)),
      samples_(static_cast<size_t>(args_.max_samples)),
      spare_logprobs_(samples_.size()) {
  samplers_.reserve(static_cast<size_t>(args_.pool.num_threads()));
  for (int32_t worker = 0; worker < args_.pool.num_threads(); ++worker) {
    samplers_.emplace_back(args_.model.config().vocab_size);
  }
  health_.reserve(static_cast<size_t>(args_.max_step_tokens));
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
  CountWork(input.batch);
}

// All of a step but its copies. It may be run again: the same rows are written from the same ones.
void LocalExecutor::RunModel(const StepInput& input, const Model& model) {
  const TimePoint start = std::chrono::steady_clock::now();
  num_logits_rows_ = 0;
  model.Forward(
      input.batch, args_.cache, context_, hidden_.Slice(0, input.batch.num_tokens()), load_);
  CheckHidden(input.batch);
  const TimePoint forward_end = std::chrono::steady_clock::now();
  SampleAll(input, model);
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
        args_.cache.ZeroRow(batch.slots[static_cast<size_t>(row)]);
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

void LocalExecutor::CheckHidden(const ForwardBatch& batch) {
  health_.assign(static_cast<size_t>(batch.num_sequences()), RowHealth::kFinite);
  const auto check = [&](int64_t begin, int64_t end, int32_t /*worker*/) {
    for (auto s = static_cast<size_t>(begin); s < static_cast<size_t>(end); ++s) {
      for (int64_t row = batch.query_starts[s]; row < batch.query_starts[s + 1]; ++row) {
        if (!AllFinite(hidden_.Row(row))) {
          health_[s] = RowHealth::kNotFinite;
          break;
        }
      }
    }
  };
  args_.pool.ParallelFor(batch.num_sequences(), 1, check);
}

void LocalExecutor::SampleAll(const StepInput& input, const Model& model) {
  for (size_t next = 0; next < input.samples.size();) {
    next = SampleSlice(input, model, next);
  }
  for (size_t i = 0; i < input.samples.size(); ++i) {
    if (picks_[i].failed) {
      health_[static_cast<size_t>(input.samples[i].sequence)] = RowHealth::kNotFinite;
    }
  }
}

// Samples from `begin` on, as many as have their rows among kSliceRows; returns where they end.
size_t LocalExecutor::SampleSlice(const StepInput& input, const Model& model, size_t begin) {
  // 1. The distinct rows, side by side.
  int32_t num_rows = 0;
  int32_t last_row = kNoRow;
  size_t end = begin;
  for (; end < input.samples.size(); ++end) {
    const SampleRow& sample = input.samples[end];
    picks_[end] = {.logits_row = kNoRow, .failed = false};
    if (health_[static_cast<size_t>(sample.sequence)] != RowHealth::kFinite) {
      continue;
    }
    if (sample.row != last_row) {
      if (num_rows == kSliceRows) {
        break;
      }
      const auto row = hidden_.Row(sample.row);
      std::copy(row.begin(), row.end(), sliced_hidden_.Row(num_rows).begin());
      last_row = sample.row;
      ++num_rows;
    }
    picks_[end].logits_row = num_rows - 1;
  }

  // 2. Their logits, and every sample's choice.
  num_logits_rows_ += num_rows;
  if (num_rows > 0) {
    model.ComputeLogits(sliced_hidden_.Slice(0, num_rows), context_, logits_.Slice(0, num_rows));
  }
  const auto sample = [&](int64_t first, int64_t last, int32_t worker) {
    for (size_t i = begin + static_cast<size_t>(first); i < begin + static_cast<size_t>(last);
         ++i) {
      const int32_t row = picks_[i].logits_row;
      const bool is_shared = (i > begin && picks_[i - 1].logits_row == row) ||
                             (i + 1 < end && picks_[i + 1].logits_row == row);
      if (row != kNoRow) {
        SampleOne(input.samples[i], i, is_shared, worker);
      }
    }
  };
  args_.pool.ParallelFor(static_cast<int64_t>(end - begin), 1, sample);
  return end;
}

// A sampler overwrites its logits: a row that others read too is copied first.
void LocalExecutor::SampleOne(const SampleRow& sample, size_t i, bool is_shared, int32_t worker) {
  std::span<float> logits = logits_.Row(picks_[i].logits_row);
  if (is_shared) {
    const auto copy = logits_copies_.Row(worker);
    std::copy(logits.begin(), logits.end(), copy.begin());
    logits = copy;
  }
  const absl::Status status =
      samplers_[static_cast<size_t>(worker)].Sample({.params = *sample.params,
                                                     .tokens = sample.tokens,
                                                     .num_prompt_tokens = sample.num_prompt_tokens,
                                                     .logits = logits},
                                                    samples_[i]);
  picks_[i].failed = !status.ok();
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
  output.sample_time = sample_time_;
  output.stats = stats_;  // copied, so that both keep their memory
}

}  // namespace hadal
