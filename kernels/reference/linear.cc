#include <algorithm>

#include "kernels/quantization/int8_row.h"
#include "kernels/reference/ops.h"

namespace hadal::reference {

void Linear(const LinearArgs& args, ExecutionContext& context) {
  const ScratchScope scope(context.scratch);
  const auto x = context.scratch.Allocate<float>(args.x.extent(1));
  for (int64_t t = 0; t < args.x.extent(0); ++t) {
    if (IsQuantized(args.weight.format)) {
      RoundThroughInt8(args.x.Row(t), x.Row());
    } else {
      std::copy_n(args.x.Row(t).data(), x.extent(0), x.data);
    }
    for (int64_t o = 0; o < args.weight.rows; ++o) {
      double sum = args.output == Output::kAdd ? double{args.y(t, o)} : 0.0;
      for (int64_t i = 0; i < args.weight.cols; ++i) {
        sum += double{x(i)} * double{WeightAt(args.weight, o, i)};
      }
      args.y(t, o) = static_cast<float>(sum);
    }
  }
}

}  // namespace hadal::reference
