#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "kernels/quantization/int8_row.h"
#include "kernels/reference/ops.h"

namespace hadal::reference {
namespace {

using Vector = std::vector<double>;

// U_hᵀ q_nope: q_nope · (U_h c) = (U_hᵀ q_nope) · c.
Vector AbsorbedQuery(const MlaAttentionArgs& args, int64_t t, int64_t h, int64_t nope_dim) {
  const KvUpWeights& weights = args.kv_b_proj;
  const auto q = args.q.Row(t, h).first(static_cast<size_t>(nope_dim));
  std::vector<float> input(q.begin(), q.end());
  if (weights.is_quantized()) {
    RoundThroughInt8(q, input);
  }
  Vector absorbed(static_cast<size_t>(args.kv_lora_rank), 0.0);
  for (int64_t i = 0; i < nope_dim; ++i) {
    for (int64_t j = 0; j < args.kv_lora_rank; ++j) {
      const float weight =
          weights.is_quantized()
              ? WeightAt(weights.keys, h * RoundUpToPanel(args.kv_lora_rank) + j, i)
              : WeightAt(weights.whole, h * (nope_dim + args.v_head_dim) + i, j);
      absorbed[static_cast<size_t>(j)] += double{input[static_cast<size_t>(i)]} * double{weight};
    }
  }
  return absorbed;
}

// out = V_h · latent.
void ProjectValue(const MlaAttentionArgs& args, int64_t t, int64_t h, Vector latent) {
  const KvUpWeights& weights = args.kv_b_proj;
  const int64_t nope_dim = args.q.extent(2) - (args.cache.row_width - args.kv_lora_rank);
  if (weights.is_quantized()) {
    std::vector<float> rounded(latent.begin(), latent.end());
    RoundThroughInt8(rounded, rounded);
    latent.assign(rounded.begin(), rounded.end());
  }
  const int64_t first = weights.is_quantized() ? h * RoundUpToPanel(args.v_head_dim)
                                               : h * (nope_dim + args.v_head_dim) + nope_dim;
  const WeightMatrix& values = weights.is_quantized() ? weights.values : weights.whole;
  for (int64_t i = 0; i < args.v_head_dim; ++i) {
    double value = 0;
    for (int64_t j = 0; j < args.kv_lora_rank; ++j) {
      value += latent[static_cast<size_t>(j)] * double{WeightAt(values, first + i, j)};
    }
    args.out(t, h, i) = static_cast<float>(value);
  }
}

// One query token of one head: the formula of kernels/mla_attention.h.
void Attend(const MlaAttentionArgs& args, int64_t t, int64_t h, std::span<const int32_t> blocks) {
  const int64_t nope_dim = args.q.extent(2) - (args.cache.row_width - args.kv_lora_rank);
  Vector query = AbsorbedQuery(args, t, h, nope_dim);
  const auto q_pe = args.q.Row(t, h).subspan(static_cast<size_t>(nope_dim));
  query.insert(query.end(), q_pe.begin(), q_pe.end());
  Vector weights;
  double highest = -std::numeric_limits<double>::infinity();
  for (int64_t s = 0; s <= args.positions(t); ++s) {
    const int64_t slot = SlotOf(args.cache, blocks, s);
    double score = 0;
    for (int64_t i = 0; i < args.cache.row_width; ++i) {
      score += query[static_cast<size_t>(i)] * double{CacheAt(args.cache, slot, i)};
    }
    weights.push_back(score * double{args.softmax_scale});
    highest = std::max(highest, weights.back());
  }
  double sum = 0;
  for (double& weight : weights) {
    weight = std::exp(weight - highest);
    sum += weight;
  }
  Vector latent(static_cast<size_t>(args.kv_lora_rank), 0.0);
  for (int64_t s = 0; s <= args.positions(t); ++s) {
    const int64_t slot = SlotOf(args.cache, blocks, s);
    for (int64_t i = 0; i < args.kv_lora_rank; ++i) {
      latent[static_cast<size_t>(i)] +=
          weights[static_cast<size_t>(s)] / sum * double{CacheAt(args.cache, slot, i)};
    }
  }
  ProjectValue(args, t, h, std::move(latent));
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
