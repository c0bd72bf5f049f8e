#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>

#include "engine/api/executor.h"
#include "engine/api/kernel_health.h"
#include "engine/drafter.h"
#include "engine/kernel_guard.h"
#include "engine/model/expert_load.h"
#include "engine/model/model.h"
#include "engine/model/step_recordings.h"
#include "engine/sample/batch_sampler.h"
#include "engine/step_cost.h"

namespace hadal {

/// Runs steps on this machine, on a thread of its own called "exec" that shares its loops with a
/// thread pool. Never fails a step as a whole: when a row is not finite, the step is run again
/// under a KernelGuard, which computes by the reference what a kernel got wrong. A sequence whose
/// numbers are not finite then either ends as kNotFinite, and the cache rows that it wrote are
/// zeroed; all others get the bits that they get without it. Allocates nothing once steps of each
/// kind have run, as long as a caller gives Wait the same output, which keeps its vectors. Drafts
/// are the MTP module's (Drafter).
///
/// Submit, Wait and the destructor belong to one thread; between Submit and Wait all else belongs
/// to "exec", the pool included.
class LocalExecutor final : public Executor {
 public:
  struct Args {
    const Model& model;       // borrowed; its kernels are copied, and may be demoted here
    KvCache cache;            // of that model; with rows for MTP when there are drafts
    ThreadPool& pool;         // borrowed; used by nobody else
    const Device& device;     // the host's memory, for what ops do not need
    int64_t max_step_tokens;  // of one step
    int64_t max_samples;      // of one step
    int64_t scratch_bytes;    // of the kernels' device, kept from the start: step_memory.h
    bool can_draft = false;   // whether steps may ask for drafts: the model has an MTP module
  };

  /// ResourceExhausted when buffers for the largest step find no room.
  static absl::StatusOr<std::unique_ptr<LocalExecutor>> Create(Args args);

  LocalExecutor(const LocalExecutor&) = delete;
  LocalExecutor& operator=(const LocalExecutor&) = delete;

  /// Waits for a step that runs.
  ~LocalExecutor() override;

  /// REQUIRES: 1 to max_step_tokens tokens and at most max_samples samples, which agree with the
  /// batch; the batch keeps the rules of Model::Forward.
  void Submit(const StepInput& input) override;

  /// Always OK.
  absl::Status Wait(StepOutput& output) override;

  /// How each op has behaved so far. Any thread.
  [[nodiscard]] std::vector<KernelHealth> kernel_health() const { return guard_.health(); }

  /// Bytes of scratch on the kernels' device. Between steps.
  [[nodiscard]] size_t scratch_bytes() const { return context_.scratch.capacity_bytes(); }

  /// Of the steps so far. Between steps.
  [[nodiscard]] const StepRecordings& recordings() const { return recordings_; }

 private:
  enum class State : int8_t { kIdle, kSubmitted, kDone };

  LocalExecutor(Args args,
                DeviceBuffer hidden,
                BatchSampler sampler,
                std::optional<Drafter> drafter);

  void ExecMain();
  void RunStep(const StepInput& input);
  void RunModel(const StepInput& input, const Model& model);
  void RunCarefully(const StepInput& input);
  void Draft(const StepInput& input);
  void CheckHidden(const StepInput& input, const TensorView<const int32_t, 1>& is_finite);
  void CheckSampled(const StepInput& input);
  [[nodiscard]] bool IsHealthy() const;
  void CountWork(const ForwardBatch& batch);
  void HandOver(StepOutput& output) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Args args_;
  DeviceBuffer hidden_buffer_;
  TensorView<float, 2> hidden_;  // [max_step_tokens, hidden_size]
  BatchSampler sampler_;
  std::optional<Drafter> drafter_;
  ScratchArena host_scratch_;
  ScratchArena device_scratch_;  // of kernels that take another device's memory
  StepRecordings recordings_;    // they name places in device_scratch_
  KernelGuard guard_;
  KernelGuard::CarefulContext context_;  // serves careful_model_, and so model_ too
  const Model model_;                    // on the guard's tables
  const Model careful_model_;
  const StepCost cost_;
  ExpertLoad load_;

  // What the step that ran last came to. `exec` writes it between Submit and its end, the caller
  // reads it in Wait; `state_` hands it over.
  std::vector<SampledToken> samples_;  // [max_samples]
  std::vector<RowHealth> health_;      // [num_sequences]
  std::vector<int32_t> certain_ends_;  // [num_sequences] row behind the last that is no draft
  std::vector<DraftTokens> drafts_;    // [num_sequences], or empty
  StepStats stats_;
  int64_t num_logits_rows_ = 0;
  Duration forward_time_{};
  Duration sample_time_{};
  Duration draft_time_{};

  // Memory for outputs that grow, from those that shrink.
  std::vector<std::vector<TokenLogprob>> spare_logprobs_;

  absl::Mutex mutex_;
  State state_ ABSL_GUARDED_BY(mutex_) = State::kIdle;
  const StepInput* input_ ABSL_GUARDED_BY(mutex_) = nullptr;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread exec_;  // last: it uses all of the above
};

}  // namespace hadal
