#pragma once

#include <vector>

#include "kernels/device.h"
#include "kernels/mlp.h"
#include "kernels/weight_matrix.h"

namespace hadal::bench {

/// Weight matrices of random numbers, made as fast as memory can be written: for benchmarks, whose
/// time does not depend on the values. Weights stay as long as this does.
class SyntheticWeights {
 public:
  /// kBf16, kInt8 or kInt4, with a standard deviation of about 0.02.
  WeightMatrix Matrix(WeightFormat format, int64_t rows, int64_t cols);

  MlpWeights Mlp(WeightFormat format, int64_t hidden_size, int64_t intermediate_size);

 private:
  std::vector<DeviceBuffer> buffers_;
  uint64_t state_ = 1;
};

}  // namespace hadal::bench
