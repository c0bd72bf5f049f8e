#include <cmath>

#include "kernels/cpu/ops.h"

namespace hadal::cpu {

void RmsNorm(const VectorKernels& vector, const RmsNormArgs& args, ExecutionContext& context) {
  constexpr int64_t kTokensPerItem = 8;
  const int64_t hidden_size = args.x.extent(1);
  const float* weight = args.weight.data;
  const auto norm_rows = [&](int64_t begin, int64_t end, int32_t /*worker*/) {
    for (int64_t t = begin; t < end; ++t) {
      const float* x = args.x.Row(t).data();
      float* y = args.y.Row(t).data();
      TileSums sums = {};
      vector.dot_tile({x}, 1, x, hidden_size, 1, hidden_size, sums);
      const float scale =
          1.0F / std::sqrt(sums[0][0] / static_cast<float>(hidden_size) + args.epsilon);
      for (int64_t i = 0; i < hidden_size; ++i) {
        y[i] = x[i] * scale * weight[i];
      }
    }
  };
  context.pool.ParallelFor(args.x.extent(0), kTokensPerItem, norm_rows);
}

}  // namespace hadal::cpu
