#include <cmath>

#include "kernels/reference/ops.h"

namespace hadal::reference {

void RmsNorm(const RmsNormArgs& args, ExecutionContext& /*context*/) {
  const int64_t hidden_size = args.x.extent(1);
  for (int64_t t = 0; t < args.x.extent(0); ++t) {
    double sum_of_squares = 0;
    for (int64_t i = 0; i < hidden_size; ++i) {
      sum_of_squares += double{args.x(t, i)} * double{args.x(t, i)};
    }
    const double mean = sum_of_squares / static_cast<double>(hidden_size);
    const double scale = 1.0 / std::sqrt(mean + double{args.epsilon});
    for (int64_t i = 0; i < hidden_size; ++i) {
      args.y(t, i) = static_cast<float>(double{args.x(t, i)} * scale * double{args.weight(i)});
    }
  }
}

}  // namespace hadal::reference
