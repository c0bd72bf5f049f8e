#pragma once

#include <cstdint>
#include <vector>

#include "kernels/kernel_table.h"
#include "kernels/self_test/cache_buffer.h"
#include "kernels/self_test/random_tensors.h"

namespace hadal::self_test {

struct MlaProjectShape {
  int64_t num_tokens;
  int64_t hidden_size;
  int64_t q_lora_rank;  // 0: a single q_proj
  int64_t num_heads;
  int64_t nope_dim;
  int64_t rope_dim;
  int64_t kv_lora_rank;
};

/// A call of the op with random numbers, guards around its tensors, and how exact it must be.
class MlaProjectProblem {
 public:
  MlaProjectProblem(const WeightSpec& spec, const MlaProjectShape& shape, DType cache_dtype);

  MlaProjectArgs Args();

  void Reset();
  void Call(const KernelTable& table, ExecutionContext& context) {
    table.mla_project(Args(), context);
  }
  /// Queries, then the cache rows of all tokens.
  [[nodiscard]] std::vector<float> Outputs();
  /// Those of tensors, and the rows of the cache that no token has.
  [[nodiscard]] bool GuardsIntact() const;

  /// Errors of each product, norm and rotation, passed on by their derivatives; close numbers may
  /// round to neighbouring bf16 in the cache.
  [[nodiscard]] std::vector<double> Tolerances(const std::vector<float>& expected) const;

 protected:
  MlaProjectShape shape_;
  Random random_;
  GuardedTensor<float, 2> x_;
  WeightBuffer q_a_proj_;
  GuardedTensor<float, 1> q_a_layernorm_;
  WeightBuffer q_b_proj_;
  WeightBuffer kv_a_proj_;
  GuardedTensor<float, 1> kv_a_layernorm_;
  GuardedTensor<float, 2> cos_;
  GuardedTensor<float, 2> sin_;
  GuardedTensor<int64_t, 1> slots_;
  DType dtype_;
  CacheBuffer cache_;
  GuardedTensor<float, 3> q_;

 private:
  void AddCacheRounding(std::span<const float> expected, std::vector<double>& errors) const;
  [[nodiscard]] int64_t NumBlocks() const;
  [[nodiscard]] CacheBuffer MakeCache() const;
  WeightBuffer Weight(const WeightSpec& spec, int64_t rows, int64_t cols);
};

}  // namespace hadal::self_test
