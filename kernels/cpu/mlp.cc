#include "kernels/cpu/gated_rows.h"
#include "kernels/cpu/linear.h"
#include "kernels/cpu/ops.h"

namespace hadal::cpu {

void Mlp(const VectorKernels& vector, const MlpArgs& args, ExecutionContext& context) {
  const ScratchScope scope(context.scratch);
  const WeightMatrix& gate = args.weights.gate_proj;
  const WeightMatrix& down = args.weights.down_proj;
  const auto activations = context.scratch.Allocate<float>(args.x.extent(0), gate.rows);
  const InputRows input = MakeInput(vector, args.x, gate, context);
  const auto gate_up = [&](int64_t begin, int64_t end, int32_t /*worker*/) {
    GatedRows(vector, input, args.weights, begin, end, activations);
  };
  context.pool.ParallelFor(
      gate.rows, RowsPerItem(vector, gate, gate.rows, context.pool.num_threads()), gate_up);
  const InputRows hidden = MakeInput(vector, activations, down, context);
  Multiply(vector, hidden, down, Output::kAdd, args.y, context.pool);
}

}  // namespace hadal::cpu
