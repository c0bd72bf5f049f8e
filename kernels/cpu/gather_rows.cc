#include <algorithm>

#include "kernels/cpu/ops.h"

namespace hadal::cpu {

void GatherRows(const VectorKernels& /*vector*/,
                const GatherRowsArgs& args,
                ExecutionContext& context) {
  constexpr int64_t kRowsPerItem = 16;
  const auto copy_rows = [&](int64_t begin, int64_t end, int32_t /*worker*/) {
    for (int64_t i = begin; i < end; ++i) {
      const auto row = args.x.Row(args.rows(i));
      std::copy(row.begin(), row.end(), args.y.Row(i).begin());
    }
  };
  context.pool.ParallelFor(args.y.extent(0), kRowsPerItem, copy_rows);
}

}  // namespace hadal::cpu
