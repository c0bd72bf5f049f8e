#include "kernels/cpu/ops.h"
#include "kernels/reference/ops.h"

namespace hadal::cpu {

void MoeRoute(const VectorKernels& vector, const MoeRouteArgs& args, ExecutionContext& context) {
  constexpr int64_t kTokensPerItem = 16;
  const ScratchScope scope(context.scratch);
  const int64_t num_tokens = args.x.extent(0);
  const auto logits = context.scratch.Allocate<float>(num_tokens, args.gate.rows);
  const int64_t num_workers = context.pool.num_threads();
  const auto scratches = context.scratch.Allocate<reference::RouteScratch>(num_workers);
  for (int64_t worker = 0; worker < num_workers; ++worker) {
    scratches(worker) = reference::MakeRouteScratch(args, context.scratch);
  }
  Linear(
      vector, {.x = args.x, .weight = args.gate, .output = Output::kStore, .y = logits}, context);
  const auto choose = [&](int64_t begin, int64_t end, int32_t worker) {
    for (int64_t t = begin; t < end; ++t) {
      reference::ChooseExperts(args, t, logits.Row(t), scratches(worker));
    }
  };
  context.pool.ParallelFor(num_tokens, kTokensPerItem, choose);
}

}  // namespace hadal::cpu
