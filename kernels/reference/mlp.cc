#include <cmath>

#include "kernels/reference/ops.h"

namespace hadal::reference {

void Mlp(const MlpArgs& args, ExecutionContext& context) {
  const ScratchScope scope(context.scratch);
  const int64_t num_tokens = args.x.extent(0);
  const int64_t intermediate_size = args.weights.gate_proj.rows;
  const auto gate = context.scratch.Allocate<float>(num_tokens, intermediate_size);
  const auto up = context.scratch.Allocate<float>(num_tokens, intermediate_size);
  Linear({.x = args.x, .weight = args.weights.gate_proj, .output = Output::kStore, .y = gate},
         context);
  Linear({.x = args.x, .weight = args.weights.up_proj, .output = Output::kStore, .y = up}, context);
  for (int64_t t = 0; t < num_tokens; ++t) {
    for (int64_t i = 0; i < intermediate_size; ++i) {
      const double a = gate(t, i);
      gate(t, i) = static_cast<float>(a / (1.0 + std::exp(-a)) * double{up(t, i)});
    }
  }
  Linear({.x = gate, .weight = args.weights.down_proj, .output = Output::kAdd, .y = args.y},
         context);
}

}  // namespace hadal::reference
