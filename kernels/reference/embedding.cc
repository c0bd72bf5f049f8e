#include "kernels/reference/ops.h"

namespace hadal::reference {

void Embedding(const EmbeddingArgs& args, ExecutionContext& /*context*/) {
  for (int64_t t = 0; t < args.y.extent(0); ++t) {
    for (int64_t i = 0; i < args.y.extent(1); ++i) {
      args.y(t, i) = WeightAt(args.table, args.token_ids(t), i);
    }
  }
}

}  // namespace hadal::reference
