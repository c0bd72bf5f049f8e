#pragma once

#include "engine/api/forward_batch.h"
#include "engine/checkpoint/model_config.h"
#include "engine/model/step_tail.h"
#include "kernels/execution_context.h"
#include "kernels/kernel_table.h"

namespace hadal {

class ExpertLog;

/// What every layer of one step shares. Views live as long as the step.
struct Step {
  const ModelConfig& config;
  const KernelTable& kernels;
  ExecutionContext& context;
  float softmax_scale;
  MlaForm mla_form;
  ExpertLog* expert_log;                      // null: nobody asks which experts were chosen
  RopeAngles angles;                          // [num_tokens, qk_rope_head_dim / 2]
  TensorView<const int32_t, 1> token_ids;     // [num_tokens]
  TensorView<const int32_t, 1> positions;     // [num_tokens]
  TensorView<const int64_t, 1> slots;         // [num_tokens]
  TensorView<const int32_t, 1> query_starts;  // [num_sequences + 1]
  TensorView<const int32_t, 2> block_tables;  // [num_sequences, max_blocks]
  TensorView<const int32_t, 1> previous;      // [num_tokens] rows of hidden states that enter an
                                              // MTP module; empty in the main model
  StepTail tail;

  [[nodiscard]] int64_t num_tokens() const { return token_ids.extent(0); }
};

}  // namespace hadal
