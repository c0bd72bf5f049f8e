#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"
#include "engine/api/executor.h"
#include "engine/sample/batch_sampler.h"

namespace hadal {

/// Guesses what follows, by the model's MTP module. After each step the module runs over the tokens
/// that the step made certain, each beside the hidden state of the position before, which keeps its
/// cache rows complete; and for sequences that ask for drafts it goes on from its own output, one
/// token at a time. A draft is drawn as the token itself will be, with the same parameters and the
/// same random numbers, from the module's logits.
///
/// Rows and positions are those of Model::ForwardMtp. Guesses change no result: where the module's
/// numbers are not finite there are none. Holds memory to work in, no state. One thread.
class Drafter {
 public:
  struct Args {
    const ModelConfig& config;
    const Device& device;     // where hidden states lie: that of the models' kernels
    int64_t max_step_tokens;  // of one step
  };

  /// ResourceExhausted when the buffers find no room. REQUIRES: the model has an MTP module.
  static absl::StatusOr<Drafter> Create(const Args& args);

  /// A step that has been run and that asks for drafts.
  struct Work {
    const Model& model;
    KvCache& cache;  // with rows for the MTP module
    ExecutionContext& context;
    BatchSampler& sampler;
    const StepInput& input;
    TensorView<const float, 2> hidden;      // [num_tokens, hidden_size], normed
    std::span<const SampledToken> samples;  // [input.samples.size()]
    std::span<const RowHealth> health;      // [num_sequences]
  };

  /// Writes `drafts`, of [num_sequences].
  void Draft(const Work& work, std::vector<DraftTokens>& drafts);

 private:
  // A sequence that asks for drafts.
  struct Guess {
    int32_t sequence;
    int32_t sample;        // the first of its samples
    int32_t num_drafts;    // asked for
    int32_t row = 0;       // of hidden_: the module's last output for it
    int32_t position = 0;  // of that output
    int32_t tail_size = 0;
    // What follows SampleRow::tokens: tokens that the step added, then drafts.
    std::array<TokenId, 2 * kMaxDraftTokens + 1> tail = {};
  };

  // What the module runs over in one place.
  struct Row {
    int32_t sequence;
    int32_t previous;  // row of the hidden state that enters
    int32_t position;  // of that
    TokenId token;
  };

  Drafter(const Args& args, DeviceBuffer hidden);

  void FillFromStep(const Work& work);
  void FillFromSequence(const Work& work, int32_t sequence, int32_t sample, int64_t num_samples);
  void FillFromGuesses(const Work& work);
  void BeginBatch(const ForwardBatch& step);
  void AddRow(const ForwardBatch& step, const Row& row);
  void EndSequence(const ForwardBatch& step, int32_t sequence);
  void FillSamples(const Work& work);
  void RunModule(const Work& work,
                 const TensorView<const float, 2>& states,
                 std::vector<DraftTokens>& drafts);
  void DropNotFinite(const Work& work, const TensorView<const int32_t, 1>& is_finite);
  void TakeDrafts(std::vector<DraftTokens>& drafts);

  DeviceBuffer hidden_buffer_;
  TensorView<float, 2> hidden_;           // [max_step_tokens, hidden_size] what the module makes
  ForwardBatch batch_;                    // what it runs
  std::vector<int32_t> previous_rows_;    // [batch_.num_tokens()] whose states the module reads
  std::vector<int32_t> batch_sequences_;  // the step's sequences that take part
  std::vector<Guess> guesses_;            // that may go on
  std::vector<SampleRow> samples_;        // [guesses_.size()]
  std::vector<SampledToken> chosen_;      // likewise
  std::vector<RowHealth> health_;         // [num_sequences] of the step
};

}  // namespace hadal
