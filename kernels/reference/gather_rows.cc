#include "kernels/reference/ops.h"

namespace hadal::reference {

void GatherRows(const GatherRowsArgs& args, ExecutionContext& /*context*/) {
  for (int64_t i = 0; i < args.y.extent(0); ++i) {
    for (int64_t j = 0; j < args.y.extent(1); ++j) {
      args.y(i, j) = args.x(args.rows(i), j);
    }
  }
}

}  // namespace hadal::reference
