#pragma once

#include <cstdint>
#include <span>

#include "engine/api/forward_batch.h"
#include "engine/model/kv_cache.h"
#include "engine/model/rope.h"
#include "engine/model/step.h"
#include "engine/model/step_tail.h"
#include "engine/model/weights.h"

namespace hadal {

/// A DeepSeek model of the MLA generation: from tokens to hidden states to logits. Holds no state
/// of its own: what a step changes is the cache and the outputs. One step at a time per context.
/// Batches lie in the host's memory, whatever device the kernels are of: the weights, the cache,
/// hidden states, logits and context.scratch are that device's (kernels().device).
///
///   Model model({.config = checkpoint.config(), .weights = weights, .kernels = table});
///   model.Forward(batch, cache, context, hidden);
///   model.FetchLogits(hidden.Slice(last, 1), context, logits);
class Model {
 public:
  struct Args {
    const ModelConfig& config;
    const Weights& weights;
    const KernelTable& kernels;
    MlaForm mla_form;
  };

  /// Borrows all of `args`.
  explicit Model(const Args& args);

  [[nodiscard]] const ModelConfig& config() const { return args_.config; }
  [[nodiscard]] const Weights& weights() const { return args_.weights; }
  [[nodiscard]] const KernelTable& kernels() const { return args_.kernels; }

  /// The same model on other kernels, which it borrows. Their entries may change between steps.
  [[nodiscard]] Model WithKernels(const KernelTable& kernels) const;

  /// Runs the batch through all layers: writes its rows of the cache, and to `hidden`
  /// [num_tokens, hidden_size] the last hidden states, after `model.norm`.
  /// REQUIRES: ids inside the vocabulary; tables and slots inside the cache.
  void Forward(const ForwardBatch& batch,
               KvCache& cache,
               ExecutionContext& context,
               const TensorView<float, 2>& hidden) const;

  /// One step, from a batch to choices among logits, as a device is told to do it.
  struct Work {
    const ForwardBatch& batch;
    KvCache& cache;
    ExecutionContext& context;
    TensorView<float, 2> hidden;  // [num_tokens, hidden_size], written
    StepTail tail = {};           // in the host's memory, but for what it writes
  };

  /// Hidden states that enter an MTP module: row rows[i] beside token i of the batch.
  struct MtpInput {
    TensorView<const float, 2> states;  // [num_rows, hidden_size]
    TensorView<const int32_t, 1> rows;  // [num_tokens], in the host's memory
  };

  /// Forward, then the tail: launches all of it and waits for nothing. The results lie in
  /// HostScratch(context), whose innermost scope is the caller's, and so does what the device reads
  /// meanwhile: they are there, and that is free, after kernels().device->finish_copies().
  [[nodiscard]] StepResults Begin(const Work& work) const;

  /// The same for ForwardMtp, without expert ids. work.hidden may be the memory of input.states.
  [[nodiscard]] StepResults BeginMtp(int64_t mtp_layer,
                                     const Work& work,
                                     const MtpInput& input) const;

  /// The tokens of a tail behind hidden states of before: in HostScratch(context), after waiting
  /// for the device.
  [[nodiscard]] TensorView<const TokenId, 1> Choose(const TensorView<const float, 2>& hidden,
                                                    const StepTail& tail,
                                                    ExecutionContext& context) const;

  /// Runs MTP module `mtp_layer`: batch token i, which stands one place after the hidden state's,
  /// enters with `previous` [num_tokens, hidden_size], row i being the hidden state of the position
  /// before (from Forward, or a module's own output when drafting further). Positions and slots of
  /// the batch are those of the hidden state. Writes to `hidden` the states after
  /// `shared_head.norm`, whose logits predict the token after batch token i. Source:
  /// DeepSeek-V3 (arXiv:2412.19437) section 2.2 and README_WEIGHTS.md. REQUIRES: 0 <= mtp_layer <
  /// config().num_nextn_predict_layers; `previous` and `hidden` may be the same buffer.
  void ForwardMtp(int64_t mtp_layer,
                  const ForwardBatch& batch,
                  const TensorView<const float, 2>& previous,
                  KvCache& cache,
                  ExecutionContext& context,
                  const TensorView<float, 2>& hidden) const;

  /// logits [num_rows, vocab_size], in the host's memory, of normed hidden states [num_rows,
  /// hidden_size].
  void FetchLogits(const TensorView<const float, 2>& hidden,
                   ExecutionContext& context,
                   const TensorView<float, 2>& logits) const;

 private:
  // What the ops of a step launch, which enters with tokens, or with hidden states too: nothing
  // else, so that it can be recorded. `hidden` is what leaves.
  [[nodiscard]] StepResults Launch(int64_t mtp_layer,
                                   const Work& work,
                                   const MtpInput& input) const;
  void LaunchLayers(const Step& step, KvCache& cache, const TensorView<float, 2>& hidden) const;
  void LaunchMtp(int64_t mtp_layer,
                 const Step& step,
                 const TensorView<const float, 2>& previous,
                 KvCache& cache,
                 const TensorView<float, 2>& hidden) const;
  [[nodiscard]] Step MakeStep(const Work& work, const MtpInput& input) const;

  const Args args_;
  const Rope rope_;
  const float softmax_scale_;
  const int64_t num_moe_layers_;
};

}  // namespace hadal
