#pragma once

#include "engine/model/step.h"

// A step whose ops take another device's memory than the host's. Where they take the host's, each
// of these gives back what it is given, and copies nothing.

namespace hadal {

/// How wide block tables of `max_blocks` are there: one of few widths, multiples of the eight
/// blocks that attention takes at a time, and further up two for each doubling.
int64_t TableWidthOnDevice(int64_t max_blocks);

/// The same step with all that its ops read in the device's memory, by one copy, which begins here:
/// HostScratch(step.context) is kept until finish_copies. Lasts as long as the scratch of
/// step.context. Block tables are wider there, so that steps of growing sequences keep their shape
/// for a while.
Step OnDevice(const Step& step);

/// The same for a tail alone.
StepTail OnDevice(const StepTail& tail, const Device& device, ExecutionContext& context);

/// Room in the device's memory for what shall become `rows`.
TensorView<float, 2> RoomOnDevice(const TensorView<float, 2>& rows,
                                  const Device& device,
                                  ExecutionContext& context);

/// Copies what was written to the room for `rows` to them, when all ops before are done.
void FetchRows(const TensorView<const float, 2>& room,
               const TensorView<float, 2>& rows,
               const Device& device);

/// Where the layers of a step write which experts they choose.
class ExpertLog {
 public:
  /// `expert_ids` [num_moe_layers, num_tokens, num_experts_per_tok]
  explicit ExpertLog(const TensorView<int32_t, 3>& expert_ids) : expert_ids_(expert_ids) {}

  /// Where the next such layer writes its choice: [num_tokens, num_experts_per_tok].
  TensorView<int32_t, 2> NextLayer();

 private:
  const TensorView<int32_t, 3> expert_ids_;
  int64_t num_layers_ = 0;  // that have asked
};

}  // namespace hadal
