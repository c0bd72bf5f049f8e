#include "kernels/reference/ops.h"

namespace hadal::reference {

void Linear(const LinearArgs& args, ExecutionContext& /*context*/) {
  for (int64_t t = 0; t < args.x.extent(0); ++t) {
    for (int64_t o = 0; o < args.weight.rows; ++o) {
      double sum = args.output == Output::kAdd ? double{args.y(t, o)} : 0.0;
      for (int64_t i = 0; i < args.weight.cols; ++i) {
        sum += double{args.x(t, i)} * double{WeightAt(args.weight, o, i)};
      }
      args.y(t, o) = static_cast<float>(sum);
    }
  }
}

}  // namespace hadal::reference
