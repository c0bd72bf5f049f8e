#include "engine/checkpoint/stored_matrix.h"

#include <cstdint>
#include <cstring>
#include <utility>

#include "engine/checkpoint/weight_map.h"

namespace hadal {

absl::StatusOr<const void*> AlignedData(const TensorInfo& tensor,
                                        std::vector<DeviceBuffer>& copies) {
  const void* data = tensor.data.data();
  if (reinterpret_cast<uintptr_t>(data) % static_cast<uintptr_t>(SizeOf(tensor.dtype)) == 0) {
    return data;
  }
  ASSIGN_OR_RETURN(DeviceBuffer copy, DeviceBuffer::Allocate(CpuDevice(), tensor.data.size()));
  std::memcpy(copy.data(), data, tensor.data.size());
  copies.push_back(std::move(copy));
  return copies.back().data();
}

absl::StatusOr<WeightMatrix> StoredMatrix(const Checkpoint& checkpoint,
                                          const std::string& name,
                                          std::vector<DeviceBuffer>& copies) {
  const TensorInfo& tensor = checkpoint.Get(name);
  WeightMatrix matrix = {.rows = tensor.shape[0], .cols = tensor.shape[1]};
  ASSIGN_OR_RETURN(matrix.payload, AlignedData(tensor, copies));
  switch (tensor.dtype) {
    case DType::kF32:
      matrix.format = WeightFormat::kF32;
      return matrix;
    case DType::kBf16:
      matrix.format = WeightFormat::kBf16;
      return matrix;
    case DType::kF16:
      matrix.format = WeightFormat::kF16;
      return matrix;
    case DType::kFp8E4m3: {
      matrix.format = WeightFormat::kFp8Block;
      matrix.block_rows = checkpoint.config().quantization->block_rows;
      matrix.block_cols = checkpoint.config().quantization->block_cols;
      ASSIGN_OR_RETURN(const void* scales,
                       AlignedData(checkpoint.Get(BlockScaleName(name)), copies));
      matrix.scales = static_cast<const float*>(scales);
      return matrix;
    }
    default:
      return Internal(
          "%s: a matrix of dtype %s passed the checkpoint's check", name, NameOf(tensor.dtype));
  }
}

}  // namespace hadal
