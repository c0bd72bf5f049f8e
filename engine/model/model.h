#pragma once

#include <cstdint>
#include <span>

#include "engine/api/forward_batch.h"
#include "engine/model/expert_load.h"
#include "engine/model/kv_cache.h"
#include "engine/model/rope.h"
#include "engine/model/step.h"
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

  /// The same for who wants to know which experts were busy: `load` is cleared and filled.
  void Forward(const ForwardBatch& batch,
               KvCache& cache,
               ExecutionContext& context,
               const TensorView<float, 2>& hidden,
               ExpertLoad& load) const;

  /// Runs MTP module `mtp_layer`: batch token i, which stands one place after the hidden state's,
  /// enters with `previous` [num_tokens, hidden_size], row i being the hidden state of the position
  /// before (from Forward, or a module's own output when drafting further). Positions and slots of
  /// the batch are those of the hidden state. Writes to `hidden` the states after
  /// `shared_head.norm`, whose ComputeLogits predict the token after batch token i. Source:
  /// DeepSeek-V3 (arXiv:2412.19437) section 2.2 and README_WEIGHTS.md. REQUIRES: 0 <= mtp_layer <
  /// config().num_nextn_predict_layers; `previous` and `hidden` may be the same buffer.
  void ForwardMtp(int64_t mtp_layer,
                  const ForwardBatch& batch,
                  const TensorView<const float, 2>& previous,
                  KvCache& cache,
                  ExecutionContext& context,
                  const TensorView<float, 2>& hidden) const;

  /// logits [num_rows, vocab_size] of normed hidden states [num_rows, hidden_size].
  void ComputeLogits(const TensorView<const float, 2>& hidden,
                     ExecutionContext& context,
                     const TensorView<float, 2>& logits) const;

  /// The same into the host's memory.
  void FetchLogits(const TensorView<const float, 2>& hidden,
                   ExecutionContext& context,
                   const TensorView<float, 2>& logits) const;

 private:
  // A step that enters with tokens, or with hidden states too, and what its ops launch: nothing
  // else, so that it can be recorded. `hidden` is what leaves.
  void RunLayers(const Step& step, KvCache& cache, const TensorView<float, 2>& hidden) const;
  void LaunchLayers(const Step& step, KvCache& cache, const TensorView<float, 2>& hidden) const;
  void LaunchMtp(int64_t mtp_layer,
                 const Step& step,
                 const TensorView<const float, 2>& previous,
                 KvCache& cache,
                 const TensorView<float, 2>& hidden) const;
  [[nodiscard]] Step MakeStep(const ForwardBatch& batch,
                              const KvCache& cache,
                              ExecutionContext& context) const;

  const Args args_;
  const Rope rope_;
  const float softmax_scale_;
};

}  // namespace hadal
