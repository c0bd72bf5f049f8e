#pragma once

#include <cstddef>
#include <vector>

#include "base/tensor_view.h"
#include "kernels/device.h"
#include "kernels/kernel_table.h"

namespace hadal::cuda {

/// Carries the arguments of one op to the GPU, and back what the op may have written.
class Staging {
 public:
  /// The same arguments in device memory.
  EmbeddingArgs Upload(EmbeddingArgs args);
  RmsNormArgs Upload(RmsNormArgs args);
  LinearArgs Upload(LinearArgs args);
  MlpArgs Upload(MlpArgs args);
  MlaProjectArgs Upload(MlaProjectArgs args);
  MlaAttentionArgs Upload(MlaAttentionArgs args);
  MoeRouteArgs Upload(MoeRouteArgs args);
  MoeExpertsArgs Upload(MoeExpertsArgs args);
  GatherRowsArgs Upload(GatherRowsArgs args);
  CheckFiniteArgs Upload(CheckFiniteArgs args);
  SampleArgs Upload(SampleArgs args);

  /// Copies outputs and cache rows to where they belong, after the op.
  void Download();

 private:
  struct Piece {
    void* host = nullptr;
    size_t size_bytes = 0;
    DeviceBuffer buffer;
    bool is_output = false;
  };

  // Two pieces at one place, such as an op's input and output, stay one.
  void* Carry(const void* host, size_t size_bytes, bool is_output);
  template <typename T, size_t Rank>
  void Carry(TensorView<T, Rank>& view);
  void Carry(WeightMatrix& weight);
  void Carry(MlpWeights& weights);
  void Carry(LatentCache& cache);
  void CarryExperts(WeightMatrix MlpWeights::*part);

  std::vector<Piece> pieces_;
  std::vector<MlpWeights> experts_;
  std::vector<std::vector<std::byte>> expert_bytes_;  // kept, since pieces are known by their place
};

}  // namespace hadal::cuda
