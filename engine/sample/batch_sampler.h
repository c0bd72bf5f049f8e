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
/// the host, for a Sampler. Holds memory to work in, no state. One thread.
class BatchSampler {
 public:
  struct Args {
    const ModelConfig& config;
    const Device& device;        // where copies of logits lie; the host's memory
    const Device& model_device;  // of the kernels of the models that it is used with
    int32_t num_threads;         // of the contexts that it is used with
    int64_t max_samples;         // of one call
  };

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

  /// Writes to `chosen` [samples]: kNoToken where logits are not finite, and for sequences whose
  /// `health` is not. Returns how many rows of logits were computed.
  int64_t Sample(const Work& work,
                 std::span<const RowHealth> health,
                 std::span<SampledToken> chosen);

 private:
  struct PlainSample {
    size_t sample;
    SampleChoice choice;
  };

  BatchSampler(const Args& args, DeviceBuffer hidden, DeviceBuffer logits, DeviceBuffer copies);

  size_t FillSlice(const Work& work, std::span<const RowHealth> health, size_t begin);
  void ChooseAll(const Work& work, size_t begin, size_t end, std::span<SampledToken> chosen);
  void ChoosePlain(const Work& work, std::span<SampledToken> chosen) const;
  void ChooseOthers(const Work& work, std::span<SampledToken> chosen);
  std::span<float> OwnLogits(size_t other, int32_t worker);

  const Device* model_device_;
  DeviceBuffer hidden_buffer_;
  DeviceBuffer logits_buffer_;
  DeviceBuffer copies_buffer_;
  TensorView<float, 2> hidden_;      // [kSliceRows, hidden_size] in the memory of model_device_
  TensorView<float, 2> logits_;      // [kSliceRows, vocab_size] likewise
  TensorView<float, 2> copies_;      // [num_threads, vocab_size]
  std::vector<Sampler> samplers_;    // one for each worker
  std::vector<int32_t> slice_rows_;  // [max_samples] where a sample's logits lie, or kNoRow
  std::vector<PlainSample> plain_;   // of a slice, what the op `sample` chooses
  std::vector<size_t> others_;       // of a slice, the other samples
  std::vector<int32_t> gathered_;    // of a slice, its rows of Work::hidden
};

}  // namespace hadal
