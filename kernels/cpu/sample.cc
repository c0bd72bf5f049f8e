#include <memory>

#include "kernels/cpu/ops.h"
#include "kernels/sample/token_chooser.h"

namespace hadal::cpu {

void Sample(const VectorKernels& /*vector*/, const SampleArgs& args, ExecutionContext& context) {
  const ScratchScope scope(context.scratch);
  const int64_t num_workers = context.pool.num_threads();
  const auto choosers = context.scratch.Allocate<TokenChooser>(num_workers);
  for (int64_t worker = 0; worker < num_workers; ++worker) {
    std::construct_at(
        &choosers(worker), static_cast<size_t>(args.logits.extent(1)), context.scratch);
  }
  const auto choose = [&](int64_t begin, int64_t end, int32_t worker) {
    TokenChooser& chooser = choosers(worker);
    for (int64_t i = begin; i < end; ++i) {
      const SampleChoice& choice = args.choices(i);
      args.token_ids(i) =
          chooser.Read(args.logits.Row(choice.row)) ? chooser.Choose(choice) : kNoToken;
    }
  };
  context.pool.ParallelFor(args.choices.extent(0), 1, choose);
}

}  // namespace hadal::cpu
