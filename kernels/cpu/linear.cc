#include "kernels/cpu/ops.h"
#include "kernels/cpu/row_dots.h"

namespace hadal::cpu {

void Linear(const VectorKernels& vector, const LinearArgs& args, ExecutionContext& context) {
  const InputRows input = {.x = args.x, .indices = {}};
  const auto store = [&args](int64_t t, int64_t row, float sum) { args.y(t, row) = sum; };
  const auto add = [&args](int64_t t, int64_t row, float sum) { args.y(t, row) += sum; };
  const auto multiply = [&](int64_t begin, int64_t end, int32_t /*worker*/) {
    if (args.output == Output::kAdd) {
      RowDots(vector, input, args.weight, begin, end, add);
    } else {
      RowDots(vector, input, args.weight, begin, end, store);
    }
  };
  context.pool.ParallelFor(args.weight.rows, kRowsPerItem, multiply);
}

}  // namespace hadal::cpu
