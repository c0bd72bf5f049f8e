#pragma once

#include <vector>

#include "kernels/mla_attention.h"

namespace hadal::self_test {

/// How far a float result of either form may be from the exact one: [num_tokens * num_heads *
/// v_head_dim]. With p_s the softmax of the exact scores, u = 2^-24, L the context, U and V the two
/// parts of the head in kv_b_proj, and q' = Uᵀ q_nope:
///   1. A score is two products in a row, in one order or the other. Each rounding is independent
///      of the others, so errors add as squares do (compare.h):
///        e_s = scale * (gamma(rank) + gamma(qk_head_dim)) *
///              (|c_s| * (sqrt(sum_i q_i^2 |U_i|^2) + |q'|) + |q_pe| |k_s|) + 8 u max |score|
///   2. Weights then change by a factor within exp(±(e_s + max e)):
///        sum_s p_s * (exp(e_s + max e) - 1) * |V_i c_s - out_i|
///   3. The weighted sum, its rescaling and the product with V_i, in either order:
///        (gamma(2 L) + gamma(rank) + 8 u) * |V_i| * sum_s p_s |c_s|
std::vector<double> AttentionTolerances(const MlaAttentionArgs& args);

}  // namespace hadal::self_test
