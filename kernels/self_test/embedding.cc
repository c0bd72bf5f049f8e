#include "kernels/self_test/embedding.h"

namespace hadal::self_test {

EmbeddingProblem::EmbeddingProblem(const WeightSpec& spec, const EmbeddingShape& shape)
    : random(static_cast<uint32_t>(shape.num_tokens + shape.hidden_size)),
      table(WeightBuffer::MakeRandom(spec, shape.vocab_size, shape.hidden_size, random)),
      ids(shape.num_tokens),
      y(shape.num_tokens, shape.hidden_size) {
  ids.Fill([&] { return static_cast<int32_t>(random.Below(shape.vocab_size)); });
  if (shape.num_tokens > 1) {
    ids.view()(0) = 0;
    ids.view()(1) = static_cast<int32_t>(shape.vocab_size - 1);
  }
}

}  // namespace hadal::self_test
