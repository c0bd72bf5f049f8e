#pragma once

#include "engine/model/step.h"

// A step whose ops take another device's memory than the host's. Where they take the host's, each
// of these gives back what it is given, and copies nothing.

namespace hadal {

/// The same step with all that its ops read in the device's memory, by one copy. Lasts as long as
/// the scratch of step.context. Block tables are wider there, so that steps of growing sequences
/// keep their shape for a while.
Step OnDevice(const Step& step);

/// Room in the device's memory for what shall become `rows`.
TensorView<float, 2> RoomOnDevice(const TensorView<float, 2>& rows,
                                  const Device& device,
                                  ExecutionContext& context);

/// Copies what was written to the room for `rows` to them, when all ops before are done.
void FetchRows(const TensorView<const float, 2>& room,
               const TensorView<float, 2>& rows,
               const Device& device);

/// The experts that the layers of a step choose, kept on the device until the step's end: to fetch
/// them after each layer would be to wait for the device as often.
class ExpertLog {
 public:
  /// For all layers that `load` counts.
  ExpertLog(const Step& step, ExpertLoad& load);

  /// Where the next such layer writes its choice: [num_tokens, num_experts_per_tok].
  TensorView<int32_t, 2> NextLayer();

  /// Fetches the choices and counts them. REQUIRES: all layers have run, by calls of ops or by a
  /// recording of them.
  void Count();

  [[nodiscard]] const int32_t* data() const { return expert_ids_.data; }

 private:
  const Step& step_;
  ExpertLoad& load_;
  TensorView<int32_t, 3> expert_ids_;  // [num_moe_layers, num_tokens, num_experts_per_tok]
  int64_t num_layers_ = 0;             // that have asked
};

}  // namespace hadal
