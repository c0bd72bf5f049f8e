#include "kernels/self_test/mla_attention.h"

#include "kernels/quantization/panels.h"
#include "kernels/self_test/attention_bounds.h"

namespace hadal::self_test {
namespace {

int64_t NumTokens(const MlaAttentionShape& shape) {
  int64_t count = 0;
  for (const MlaAttentionShape::Sequence& sequence : shape.sequences) {
    count += sequence.num_queries;
  }
  return count;
}

int64_t NumBlocks(const MlaAttentionShape& shape) {
  int64_t count = 0;
  for (const MlaAttentionShape::Sequence& sequence : shape.sequences) {
    count += (sequence.context_len + shape.block_size - 1) / shape.block_size;
  }
  return count;
}

}  // namespace

MlaAttentionProblem::MlaAttentionProblem(const WeightSpec& spec,
                                         const MlaAttentionShape& shape,
                                         DType cache_dtype)
    : shape_(shape),
      random_(static_cast<uint32_t>(shape.num_heads * 101 + shape.kv_lora_rank)),
      num_tokens_(NumTokens(shape)),
      q_(num_tokens_, shape.num_heads, shape.nope_dim + shape.rope_dim),
      cache_({.dtype = cache_dtype,
              .num_blocks = 2 * NumBlocks(shape) + 1,
              .block_size = shape.block_size,
              .row_width = shape.kv_lora_rank + shape.rope_dim,
              .kv_lora_rank = shape.kv_lora_rank}),
      query_starts_(std::ssize(shape.sequences) + 1),
      block_tables_(std::ssize(shape.sequences), NumBlocks(shape) + 1),
      positions_(num_tokens_),
      whole_(WeightBuffer::MakeRandom(
          spec,
          IsQuantized(spec.format) ? 0 : shape.num_heads * (shape.nope_dim + shape.v_head_dim),
          shape.kv_lora_rank,
          random_)),
      keys_(WeightBuffer::MakeRandom(
          spec,
          IsQuantized(spec.format) ? shape.num_heads * RoundUpToPanel(shape.kv_lora_rank) : 0,
          shape.nope_dim,
          random_)),
      values_(WeightBuffer::MakeRandom(
          spec,
          IsQuantized(spec.format) ? shape.num_heads * RoundUpToPanel(shape.v_head_dim) : 0,
          shape.kv_lora_rank,
          random_)),
      out_(num_tokens_, shape.num_heads, shape.v_head_dim) {
  q_.Fill([this] { return random_.Normal(); });
  FillSequences();
}

KvUpWeights MlaAttentionProblem::kv_b_proj() const {
  if (IsQuantized(keys_.matrix().format)) {
    return {.whole = {}, .keys = keys_.matrix(), .values = values_.matrix()};
  }
  return {.whole = whole_.matrix(), .keys = {}, .values = {}};
}

MlaAttentionArgs MlaAttentionProblem::Args(MlaForm form) {
  return {.q = q_.input(),
          .cache = cache_.cache(),
          .query_starts = query_starts_.input(),
          .block_tables = block_tables_.input(),
          .positions = positions_.input(),
          .kv_b_proj = kv_b_proj(),
          .kv_lora_rank = shape_.kv_lora_rank,
          .v_head_dim = shape_.v_head_dim,
          .softmax_scale = softmax_scale,
          .form = form,
          .out = out_.view()};
}

std::vector<double> MlaAttentionProblem::Tolerances(const std::vector<float>& /*expected*/) {
  return AttentionTolerances(Args(MlaForm::kAuto));
}

void MlaAttentionProblem::SetCacheElement(int64_t sequence,
                                          int64_t position,
                                          size_t column,
                                          float value) {
  const int64_t slot = SlotOf(sequence, position);
  std::vector<float> row = cache_.Row(slot);
  row[column] = value;
  cache_.SetRow(slot, row);
}

int64_t MlaAttentionProblem::SlotOf(int64_t sequence, int64_t position) const {
  return block_tables_.view()(sequence, position / shape_.block_size) * shape_.block_size +
         position % shape_.block_size;
}

// Blocks come in random order out of twice as many; what no sequence wrote stays NaN, and unused
// places of the block tables stay out of range.
void MlaAttentionProblem::FillSequences() {
  const std::vector<int32_t> blocks = random_.Permutation(2 * NumBlocks(shape_) + 1);
  size_t next_block = 0;
  int32_t next_token = 0;
  query_starts_.view()(0) = 0;
  for (int64_t i = 0; i < std::ssize(shape_.sequences); ++i) {
    const MlaAttentionShape::Sequence& sequence = shape_.sequences[static_cast<size_t>(i)];
    for (int64_t position = 0; position < sequence.context_len; ++position) {
      if (position % shape_.block_size == 0) {
        block_tables_.view()(i, position / shape_.block_size) = blocks[next_block++];
      }
      std::vector<float> row;
      for (int64_t j = 0; j < shape_.kv_lora_rank + shape_.rope_dim; ++j) {
        row.push_back(random_.Normal());
      }
      cache_.SetRow(SlotOf(i, position), row);
    }
    for (int64_t j = 0; j < sequence.num_queries; ++j) {
      positions_.view()(next_token++) =
          static_cast<int32_t>(sequence.context_len - sequence.num_queries + j);
    }
    query_starts_.view()(i + 1) = next_token;
  }
}

}  // namespace hadal::self_test
