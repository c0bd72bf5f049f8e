#include <algorithm>

#include "kernels/reference/ops.h"

namespace hadal::reference {

void MoeExperts(const MoeExpertsArgs& args, ExecutionContext& context) {
  const ScratchScope scope(context.scratch);
  const auto output = context.scratch.Allocate<float>(1, args.x.extent(1));
  for (int64_t t = 0; t < args.x.extent(0); ++t) {
    for (int64_t k = 0; k < args.expert_ids.extent(1); ++k) {
      std::fill(output.Row(0).begin(), output.Row(0).end(), 0.0F);
      Mlp({.x = args.x.Slice(t, 1), .weights = args.experts(args.expert_ids(t, k)), .y = output},
          context);
      for (int64_t i = 0; i < args.x.extent(1); ++i) {
        args.y(t, i) += args.weights(t, k) * output(0, i);
      }
    }
  }
  if (args.shared_experts.has_value()) {
    Mlp({.x = args.x, .weights = *args.shared_experts, .y = args.y}, context);
  }
}

}  // namespace hadal::reference
