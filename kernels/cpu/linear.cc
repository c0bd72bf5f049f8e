#include "kernels/cpu/linear.h"

#include "kernels/cpu/ops.h"

namespace hadal::cpu {

void Multiply(const VectorKernels& vector,
              const InputRows& input,
              const WeightMatrix& weight,
              Output output,
              const TensorView<float, 2>& y,
              ThreadPool& pool) {
  const auto store = [&y](int64_t t, int64_t row, std::span<const float> sums) {
    std::copy(sums.begin(), sums.end(), y.Row(t).data() + row);
  };
  const auto add = [&y](int64_t t, int64_t row, std::span<const float> sums) {
    float* out = y.Row(t).data() + row;
    for (size_t i = 0; i < sums.size(); ++i) {
      out[i] += sums[i];
    }
  };
  const auto multiply = [&](int64_t begin, int64_t end, int32_t /*worker*/) {
    if (output == Output::kAdd) {
      RowDots(vector, input, weight, begin, end, add);
    } else {
      RowDots(vector, input, weight, begin, end, store);
    }
  };
  pool.ParallelFor(
      weight.rows, RowsPerItem(vector, weight, weight.rows, pool.num_threads()), multiply);
}

void Linear(const VectorKernels& vector, const LinearArgs& args, ExecutionContext& context) {
  const ScratchScope scope(context.scratch);
  const InputRows input = MakeInput(vector, args.x, args.weight, context);
  Multiply(vector, input, args.weight, args.output, args.y, context.pool);
}

}  // namespace hadal::cpu
