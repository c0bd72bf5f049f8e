#include "kernels/cpu/gated_rows.h"
#include "kernels/cpu/ops.h"

namespace hadal::cpu {

void Mlp(const VectorKernels& vector, const MlpArgs& args, ExecutionContext& context) {
  const ScratchScope scope(context.scratch);
  const int64_t intermediate_size = args.weights.gate_proj.rows;
  const auto activations = context.scratch.Allocate<float>(args.x.extent(0), intermediate_size);
  const auto gate_up = [&](int64_t begin, int64_t end, int32_t /*worker*/) {
    GatedRows(vector, {.x = args.x, .indices = {}}, args.weights, begin, end, activations);
  };
  context.pool.ParallelFor(intermediate_size, kRowsPerItem, gate_up);
  Linear(vector,
         {.x = activations, .weight = args.weights.down_proj, .output = Output::kAdd, .y = args.y},
         context);
}

}  // namespace hadal::cpu
