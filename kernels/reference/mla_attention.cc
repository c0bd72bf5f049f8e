#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/reference/ops.h"

namespace hadal::reference {
namespace {

// kv_b_proj · c for one row of one head.
double Expand(const MlaAttentionArgs& args, int64_t kv_b_row, int64_t slot) {
  double sum = 0;
  for (int64_t i = 0; i < args.kv_lora_rank; ++i) {
    sum += double{WeightAt(args.kv_b_proj, kv_b_row, i)} * double{CacheAt(args.cache, slot, i)};
  }
  return sum;
}

// One query token of one head: the formula of kernels/mla_attention.h, term by term.
void Attend(const MlaAttentionArgs& args, int64_t t, int64_t h, std::span<const int32_t> blocks) {
  const int64_t nope_dim = args.q.extent(2) - (args.cache.row_width - args.kv_lora_rank);
  const int64_t first_row = h * (nope_dim + args.v_head_dim);
  std::vector<double> weights;
  double highest = -std::numeric_limits<double>::infinity();
  for (int64_t s = 0; s <= args.positions(t); ++s) {
    const int64_t slot = SlotOf(args.cache, blocks, s);
    double score = 0;
    for (int64_t i = 0; i < nope_dim; ++i) {
      score += double{args.q(t, h, i)} * Expand(args, first_row + i, slot);
    }
    for (int64_t i = nope_dim; i < args.q.extent(2); ++i) {
      score += double{args.q(t, h, i)} *
               double{CacheAt(args.cache, slot, args.kv_lora_rank + i - nope_dim)};
    }
    weights.push_back(score * double{args.softmax_scale});
    highest = std::max(highest, weights.back());
  }
  double sum = 0;
  for (double& weight : weights) {
    weight = std::exp(weight - highest);
    sum += weight;
  }
  for (int64_t i = 0; i < args.v_head_dim; ++i) {
    double value = 0;
    for (int64_t s = 0; s <= args.positions(t); ++s) {
      value += weights[static_cast<size_t>(s)] *
               Expand(args, first_row + nope_dim + i, SlotOf(args.cache, blocks, s));
    }
    args.out(t, h, i) = static_cast<float>(value / sum);
  }
}

}  // namespace

void MlaAttention(const MlaAttentionArgs& args, ExecutionContext& /*context*/) {
  for (int64_t sequence = 0; sequence < args.block_tables.extent(0); ++sequence) {
    for (int64_t t = args.query_starts(sequence); t < args.query_starts(sequence + 1); ++t) {
      for (int64_t h = 0; h < args.q.extent(1); ++h) {
        Attend(args, t, h, args.block_tables.Row(sequence));
      }
    }
  }
}

}  // namespace hadal::reference
