#pragma once

#include <span>
#include <vector>

#include "kernels/mlp.h"
#include "kernels/self_test/random_tensors.h"

namespace hadal::self_test {

/// How far a float result of an MLP may be from the exact one, for one input row, and how large it
/// can be. [hidden_size] each.
struct MlpBounds {
  std::vector<double> tolerances;
  std::vector<double> magnitudes;
};

/// Owns the three matrices of a SwiGLU network.
class RandomMlp {
 public:
  RandomMlp(const WeightSpec& spec, int64_t hidden_size, int64_t intermediate_size, Random& random)
      : gate_(WeightBuffer::MakeRandom(spec, intermediate_size, hidden_size, random)),
        up_(WeightBuffer::MakeRandom(spec, intermediate_size, hidden_size, random)),
        down_(WeightBuffer::MakeRandom(spec, hidden_size, intermediate_size, random)) {}

  [[nodiscard]] MlpWeights weights() const {
    return {.gate_proj = gate_.matrix(), .up_proj = up_.matrix(), .down_proj = down_.matrix()};
  }

  /// With a and b the dot products of gate and up, e_a and e_b their bounds from compare.h, and h =
  /// silu(a) * b, the error of h is at most
  ///   1.1 e_a |b| + |silu(a)| e_b + 8 u |h|
  /// since |silu'| < 1.1, and exp, sum, quotient and products round once each. The result adds
  /// gamma(intermediate_size) |down row| |h|. Quantised weights take inputs as RoundedInput says.
  [[nodiscard]] MlpBounds BoundsFor(std::span<const float> input) const;

 private:
  WeightBuffer gate_;
  WeightBuffer up_;
  WeightBuffer down_;
};

}  // namespace hadal::self_test
