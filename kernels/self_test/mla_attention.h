#pragma once

#include <cstdint>
#include <vector>

#include "kernels/kernel_table.h"
#include "kernels/self_test/cache_buffer.h"
#include "kernels/self_test/random_tensors.h"

namespace hadal::self_test {

/// Sequences whose last `num_queries` of `context_len` tokens are queries.
struct MlaAttentionShape {
  struct Sequence {
    int64_t context_len;
    int64_t num_queries;
  };

  int64_t num_heads;
  int64_t nope_dim;
  int64_t rope_dim;
  int64_t kv_lora_rank;
  int64_t v_head_dim;
  int64_t block_size;
  std::vector<Sequence> sequences;
};

/// A call of the op with random numbers, guards around its tensors, and how exact it must be.
/// Blocks come in random order out of twice as many; what no sequence wrote is NaN, and unused
/// places of the block tables are out of range.
class MlaAttentionProblem {
 public:
  MlaAttentionProblem(const WeightSpec& spec, const MlaAttentionShape& shape, DType cache_dtype);

  MlaAttentionArgs Args(MlaForm form);

  void Reset() { out_.Poison(); }
  /// In the form that a server uses.
  void Call(const KernelTable& table, ExecutionContext& context) {
    table.mla_attention(Args(MlaForm::kAbsorbed), context);
  }
  [[nodiscard]] std::vector<float> Outputs() const { return out_.Elements(); }
  [[nodiscard]] bool GuardsIntact() const { return q_.GuardsIntact() && out_.GuardsIntact(); }

  /// attention_bounds.h, for any form.
  [[nodiscard]] std::vector<double> Tolerances(const std::vector<float>& expected);

  /// Overwrites one element of the cache row at `position` of `sequence`.
  void SetCacheElement(int64_t sequence, int64_t position, size_t column, float value);

  [[nodiscard]] const MlaAttentionShape& shape() const { return shape_; }

  float softmax_scale = 0.135F;

 protected:
  MlaAttentionShape shape_;
  Random random_;
  int64_t num_tokens_;
  GuardedTensor<float, 3> q_;
  CacheBuffer cache_;
  GuardedTensor<int32_t, 1> query_starts_;
  GuardedTensor<int32_t, 2> block_tables_;
  GuardedTensor<int32_t, 1> positions_;
  WeightBuffer whole_;  // quantised weights are in the two others, published ones here
  WeightBuffer keys_;
  WeightBuffer values_;
  GuardedTensor<float, 3> out_;

  [[nodiscard]] KvUpWeights kv_b_proj() const;

 private:
  [[nodiscard]] int64_t SlotOf(int64_t sequence, int64_t position) const;
  void FillSequences();
};

}  // namespace hadal::self_test
