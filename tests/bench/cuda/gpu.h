#pragma once

// What benchmarks of the GPU are made of: limits, random numbers in its memory, and its clock.

#include <cstdint>
#include <vector>

#include "kernels/device.h"
#include "kernels/mlp.h"
#include "kernels/weight_matrix.h"

namespace hadal::bench {

/// Device memory for as long as it lives, filled with random numbers: never zeros, on which
/// products may run faster.
class RandomMemory {
 public:
  /// Numbers of about [-scale, scale].
  float* Floats(int64_t count, float scale);
  /// kBf16, or kFp8Block with blocks of 128 x 128.
  WeightMatrix Matrix(WeightFormat format, int64_t rows, int64_t cols);
  /// `count` experts, each matrix at an equal distance from the one before.
  std::vector<MlpWeights> Experts(WeightFormat format,
                                  int64_t count,
                                  int64_t hidden_size,
                                  int64_t intermediate_size);
  /// Rows of a bf16 latent cache.
  void* Bf16Rows(int64_t count);
  /// A copy of the host's elements.
  template <typename T>
  T* Copy(const std::vector<T>& elements) {
    return static_cast<T*>(CopyBytes(elements.data(), elements.size() * sizeof(T)));
  }

 private:
  void* Allocate(int64_t size_bytes);
  void* CopyBytes(const void* host, size_t size_bytes);

  std::vector<DeviceBuffer> buffers_;
};

/// The GPU's clock between two points of the stream that ops run on.
class GpuTimer {
 public:
  GpuTimer();
  GpuTimer(const GpuTimer&) = delete;
  GpuTimer& operator=(const GpuTimer&) = delete;
  ~GpuTimer();

  void Start();
  /// Microseconds since Start, when all that was launched is done.
  double Stop();

 private:
  void* begin_ = nullptr;  // cudaEvent_t
  void* end_ = nullptr;
};

/// What this GPU can do at most; each the median of some runs.
struct GpuLimits {
  double read_bytes_per_second;  // of memory far beyond the level-2 cache
  double copy_bytes_per_second;  // read and written, both counted
  double bf16_ops_per_second;    // mma.sync, two operations for each multiplication
  double launch_microseconds;    // from one empty kernel to the next
};

GpuLimits MeasureGpuLimits();

}  // namespace hadal::bench
