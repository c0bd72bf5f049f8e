#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"
#include "engine/api/executor.h"
#include "engine/model/model.h"
#include "engine/sample/sampler.h"

namespace hadal {

/// Chooses the tokens after many rows of hidden states: logits for some of them at a time, which
/// share one pass over lm_head, then every sample's choice. Where nothing but the choice looks at
/// logits the op `sample` makes it, and tokens alone come to the host; the other rows are copied to
/// the host, for a Sampler. The first rows are part of the step that makes the hidden states. Holds
/// memory to work in. One thread.
///
///   const StepResults results = model.Begin({..., .tail = sampler.Begin(work)});
///   device.finish_copies();
///   sampler.Finish(work, health, results.token_ids, chosen);
class BatchSampler {
 public:
  struct Args {
    const ModelConfig& config;
    const Device& device;        // where copies of logits lie; the host's memory
    const Device& model_device;  // of the kernels of the models that it is used with
    int32_t num_threads;         // of the contexts that it is used with
    int64_t max_samples;         // of one call
  };

  static constexpr int64_t kSliceRows = 64;  // of logits at a time

  /// ResourceExhausted when the buffers find no room.
  static absl::StatusOr<BatchSampler> Create(const Args& args);

  /// Whether samples come with the log-probabilities that their parameters ask for.
  enum class Logprobs : int8_t { kNone, kAsAsked };

  struct Work {
    const Model& model;
    ExecutionContext& context;
    TensorView<const float, 2> hidden;   // [rows, hidden_size], normed, where the model's lie
    std::span<const SampleRow> samples;  // of rows of `hidden`, which do not fall
    Logprobs logprobs;
  };

  /// The tail of the step that makes work.hidden: valid until the step has been run.
  StepTail Begin(const Work& work);

  /// Behind the step that got the tail, with what it chose. Writes to `chosen` [samples]: kNoToken
  /// where logits are not finite, and for sequences whose `health` is not. Returns how many rows of
  /// logits were computed.
  int64_t Finish(const Work& work,
                 std::span<const RowHealth> health,
                 const TensorView<const TokenId, 1>& token_ids,
                 std::span<SampledToken> chosen);

 private:
  BatchSampler(const Args& args, DeviceBuffer hidden, DeviceBuffer logits, DeviceBuffer copies);

  StepTail FillSlice(const Work& work, size_t begin);
  void TakePlain(const TensorView<const TokenId, 1>& token_ids,
                 std::span<SampledToken> chosen) const;
  void ChooseOthers(const Work& work, std::span<SampledToken> chosen);
  std::span<float> OwnLogits(size_t other, int32_t worker);

  const Device* model_device_;
  DeviceBuffer hidden_buffer_;
  DeviceBuffer logits_buffer_;
  DeviceBuffer copies_buffer_;
  TensorView<float, 2> hidden_;        // [kSliceRows, hidden_size] in the memory of model_device_
  TensorView<float, 2> logits_;        // [kSliceRows, vocab_size] likewise
  TensorView<float, 2> copies_;        // [num_threads, vocab_size]
  std::vector<Sampler> samplers_;      // one for each worker
  std::vector<int32_t> slice_rows_;    // [max_samples] where a sample's logits lie
  std::vector<size_t> plain_;          // of a slice, samples that the op `sample` chooses
  std::vector<SampleChoice> choices_;  // [plain_.size()] how
  std::vector<size_t> others_;         // of a slice, the other samples
  std::vector<int32_t> gathered_;      // of a slice, its rows of Work::hidden
  size_t slice_end_ = 0;               // the first sample behind the slice
};

}  // namespace hadal
