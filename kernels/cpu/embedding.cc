#include "kernels/cpu/ops.h"
#include "kernels/cpu/row_dots.h"

namespace hadal::cpu {

void Embedding(const VectorKernels& vector, const EmbeddingArgs& args, ExecutionContext& context) {
  constexpr int64_t kTokensPerItem = 16;
  const auto copy_rows = [&](int64_t begin, int64_t end, int32_t /*worker*/) {
    for (int64_t t = begin; t < end; ++t) {
      WidenWeights(vector, args.table, args.token_ids(t), 0, args.table.cols, args.y.Row(t).data());
    }
  };
  context.pool.ParallelFor(args.y.extent(0), kTokensPerItem, copy_rows);
}

}  // namespace hadal::cpu
