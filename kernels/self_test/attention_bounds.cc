#include "kernels/self_test/attention_bounds.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/quantization/panels.h"
#include "kernels/reference/ops.h"
#include "kernels/self_test/bounds.h"

namespace hadal::self_test {
namespace {

using Vector = std::vector<double>;

double Dot(const Vector& a, const Vector& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

// One head of kv_b_proj, and what it makes of the rows of one sequence.
struct Head {
  std::vector<Vector> u;          // [nope_dim][rank]
  std::vector<Vector> v;          // [v_head_dim][rank]
  std::vector<Vector> latents;    // [context][rank]
  std::vector<Vector> rope_keys;  // [context][rope_dim]
  std::vector<Vector> values;     // [context][v_head_dim]
};

Vector WeightRow(const WeightMatrix& weight, int64_t row) {
  Vector values;
  for (int64_t i = 0; i < weight.cols; ++i) {
    values.push_back(double{WeightAt(weight, row, i)});
  }
  return values;
}

// U_h and V_h of a head.
void TakeWeights(const MlaAttentionArgs& args, int64_t h, int64_t nope_dim, Head& head) {
  const KvUpWeights& weights = args.kv_b_proj;
  for (int64_t i = 0; i < nope_dim + args.v_head_dim; ++i) {
    Vector row;
    if (!weights.is_quantized()) {
      row = WeightRow(weights.whole, h * (nope_dim + args.v_head_dim) + i);
    } else if (i < nope_dim) {
      for (int64_t j = 0; j < args.kv_lora_rank; ++j) {
        const int64_t column = h * RoundUpToPanel(args.kv_lora_rank) + j;
        row.push_back(double{WeightAt(weights.keys, column, i)});
      }
    } else {
      row = WeightRow(weights.values, h * RoundUpToPanel(args.v_head_dim) + i - nope_dim);
    }
    (i < nope_dim ? head.u : head.v).push_back(std::move(row));
  }
}

Head MakeHead(const MlaAttentionArgs& args, int64_t h, int64_t sequence, int64_t context_len) {
  const int64_t rope_dim = args.cache.row_width - args.kv_lora_rank;
  const int64_t nope_dim = args.q.extent(2) - rope_dim;
  Head head;
  TakeWeights(args, h, nope_dim, head);
  for (int64_t s = 0; s < context_len; ++s) {
    const int64_t slot = reference::SlotOf(args.cache, args.block_tables.Row(sequence), s);
    Vector row;
    for (int64_t i = 0; i < args.cache.row_width; ++i) {
      row.push_back(double{reference::CacheAt(args.cache, slot, i)});
    }
    head.rope_keys.emplace_back(row.begin() + args.kv_lora_rank, row.end());
    row.resize(static_cast<size_t>(args.kv_lora_rank));
    Vector values;
    for (const Vector& v : head.v) {
      values.push_back(Dot(v, row));
    }
    head.values.push_back(std::move(values));
    head.latents.push_back(std::move(row));
  }
  return head;
}

// The tolerances of V_h · z, z the weighted latent, when z is rounded to int8 first: `weights` of
// the positions are off by a factor of at most 1 + `factors`.
Vector RoundedTolerances(const MlaAttentionArgs& args,
                         const Head& head,
                         const Vector& weights,
                         const Vector& factors) {
  Bounded latent;
  for (size_t j = 0; j < static_cast<size_t>(args.kv_lora_rank); ++j) {
    double z = 0;
    double size = 0;
    for (size_t s = 0; s < weights.size(); ++s) {
      z += weights[s] * head.latents[s][j];
      size += weights[s] * std::abs(head.latents[s][j]);
    }
    double error = (Gamma(2 * std::ssize(weights)) + 8 * kUnit) * size;
    for (size_t s = 0; s < weights.size(); ++s) {
      error += weights[s] * factors[s] * std::abs(head.latents[s][j] - z);
    }
    latent.values.push_back(z);
    latent.errors.push_back(error);
  }
  const WeightMatrix& values = args.kv_b_proj.values;
  const Bounded rounded = RoundedInput(values.format, latent);
  Vector tolerances;
  for (const Vector& v : head.v) {
    double tolerance = (Gamma(values) + 2 * kUnit) * Norm(v) * Norm(rounded.values);
    for (size_t j = 0; j < v.size(); ++j) {
      tolerance += std::abs(v[j]) * rounded.errors[j];
    }
    tolerances.push_back(tolerance);
  }
  return tolerances;
}

// The tolerances of one query token.
Vector TokenTolerances(const MlaAttentionArgs& args, const Head& head, int64_t t, int64_t h) {
  const auto q_row = args.q.Row(t, h);
  const std::vector<float> q = RoundedInput(args.kv_b_proj.keys.format, q_row.first(head.u.size()));
  const Vector q_pe(q_row.begin() + std::ssize(head.u), q_row.end());
  Vector q_latent(static_cast<size_t>(args.kv_lora_rank), 0.0);
  double spread = 0;
  for (size_t i = 0; i < head.u.size(); ++i) {
    const double q_i = q[i];
    spread += q_i * q_i * Dot(head.u[i], head.u[i]);
    for (size_t j = 0; j < q_latent.size(); ++j) {
      q_latent[j] += q_i * head.u[i][j];
    }
  }
  const double q_size = std::sqrt(spread) + Norm(q_latent);
  const double scale = args.softmax_scale;
  const double gamma = Gamma(args.kv_lora_rank) + Gamma(args.q.extent(2)) +
                       (args.kv_b_proj.is_quantized() ? 4 * kUnit : 0);
  const auto context_len = static_cast<size_t>(args.positions(t)) + 1;
  Vector scores;
  Vector errors;
  double largest_score = 0;
  for (size_t s = 0; s < context_len; ++s) {
    scores.push_back(scale * (Dot(q_latent, head.latents[s]) + Dot(q_pe, head.rope_keys[s])));
    largest_score = std::max(largest_score, std::abs(scores[s]));
    errors.push_back(scale * gamma *
                     (q_size * Norm(head.latents[s]) + Norm(q_pe) * Norm(head.rope_keys[s])));
  }
  const double highest = *std::max_element(scores.begin(), scores.end());
  const double worst = *std::max_element(errors.begin(), errors.end()) + 16 * kUnit * largest_score;
  double sum = 0;
  for (double& score : scores) {
    score = std::exp(score - highest);
    sum += score;
  }
  double latent_size = 0;
  for (size_t s = 0; s < context_len; ++s) {
    scores[s] /= sum;
    latent_size += scores[s] * Norm(head.latents[s]);
  }
  if (args.kv_b_proj.is_quantized()) {
    Vector factors;
    for (const double error : errors) {
      factors.push_back(std::expm1(error + worst));
    }
    return RoundedTolerances(args, head, scores, factors);
  }
  Vector tolerances;
  for (size_t i = 0; i < head.v.size(); ++i) {
    double out = 0;
    for (size_t s = 0; s < context_len; ++s) {
      out += scores[s] * head.values[s][i];
    }
    double tolerance = (Gamma(2 * std::ssize(scores)) + Gamma(args.kv_lora_rank) + 8 * kUnit) *
                       Norm(head.v[i]) * latent_size;
    for (size_t s = 0; s < context_len; ++s) {
      tolerance += scores[s] * std::expm1(errors[s] + worst) * std::abs(head.values[s][i] - out);
    }
    tolerances.push_back(tolerance);
  }
  return tolerances;
}

}  // namespace

std::vector<double> AttentionTolerances(const MlaAttentionArgs& args) {
  const auto token_size = static_cast<size_t>(args.q.extent(1) * args.v_head_dim);
  std::vector<double> all(static_cast<size_t>(args.q.extent(0)) * token_size);
  for (int64_t sequence = 0; sequence < args.block_tables.extent(0); ++sequence) {
    const int64_t begin = args.query_starts(sequence);
    const int64_t end = args.query_starts(sequence + 1);
    for (int64_t h = 0; h < args.q.extent(1) && begin < end; ++h) {
      const Head head = MakeHead(args, h, sequence, args.positions(end - 1) + int64_t{1});
      for (int64_t t = begin; t < end; ++t) {
        const Vector part = TokenTolerances(args, head, t, h);
        std::copy(part.begin(),
                  part.end(),
                  all.begin() + t * static_cast<int64_t>(token_size) + h * args.v_head_dim);
      }
    }
  }
  return all;
}

}  // namespace hadal::self_test
