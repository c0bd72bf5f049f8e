#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <absl/functional/function_ref.h>

#include "base/status.h"
#include "engine/model/model.h"

namespace hadal {

/// One sequence alone on a model, with a cache of its own: what the command line needs to generate
/// and to score. Tokens are only ever appended. One thread.
class SequenceRunner {
 public:
  struct Args {
    const Model& model;
    ExecutionContext& context;
    DType cache_dtype;
    int64_t max_tokens;    // room in the cache
    int64_t chunk_tokens;  // most tokens per step
  };

  /// ResourceExhausted when cache or hidden states find no room. Borrows model and context.
  static absl::StatusOr<SequenceRunner> Create(const Args& args);

  /// Runs `tokens`, in steps of at most chunk_tokens. After each step calls `visit` with the index
  /// in `tokens` of the step's first and the hidden states of all its tokens, [n, hidden_size],
  /// in the memory of the model's kernels.
  /// REQUIRES: size() + tokens.size() <= max_tokens; ids inside the vocabulary.
  using Visitor = absl::FunctionRef<void(int64_t first, const TensorView<const float, 2>& hidden)>;
  void Append(std::span<const TokenId> tokens, Visitor visit);

  /// Appends and returns the logits that follow the last token, [vocab_size], valid until the next
  /// call. REQUIRES: `tokens` is not empty.
  std::span<float> AppendAndPredict(std::span<const TokenId> tokens);

  [[nodiscard]] int64_t size() const { return size_; }

 private:
  SequenceRunner(const Args& args, KvCache cache, DeviceBuffer hidden);

  // The next `tokens` as a batch of one sequence.
  void FillBatch(std::span<const TokenId> tokens);

  Args args_;
  KvCache cache_;
  int64_t size_ = 0;
  ForwardBatch batch_;
  DeviceBuffer hidden_;        // [chunk_tokens, hidden_size]
  std::vector<float> logits_;  // [vocab_size]
};

}  // namespace hadal
