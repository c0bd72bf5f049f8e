#include <cmath>

#include "kernels/reference/ops.h"

namespace hadal::reference {

void CheckFinite(const CheckFiniteArgs& args, ExecutionContext& /*context*/) {
  for (int64_t i = 0; i < args.x.extent(0); ++i) {
    args.is_finite(i) = 1;
    for (int64_t j = 0; j < args.x.extent(1); ++j) {
      if (!std::isfinite(args.x(i, j))) {
        args.is_finite(i) = 0;
      }
    }
  }
}

}  // namespace hadal::reference
