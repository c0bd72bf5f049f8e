#include "kernels/cpu/ops.h"
#include "kernels/finite.h"

namespace hadal::cpu {

void CheckFinite(const VectorKernels& /*vector*/,
                 const CheckFiniteArgs& args,
                 ExecutionContext& context) {
  constexpr int64_t kRowsPerItem = 4;
  const auto check_rows = [&](int64_t begin, int64_t end, int32_t /*worker*/) {
    for (int64_t i = begin; i < end; ++i) {
      args.is_finite(i) = AllFinite(args.x.Row(i)) ? 1 : 0;
    }
  };
  context.pool.ParallelFor(args.x.extent(0), kRowsPerItem, check_rows);
}

}  // namespace hadal::cpu
