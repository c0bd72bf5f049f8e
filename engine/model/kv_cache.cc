#include "engine/model/kv_cache.h"

#include <utility>

namespace hadal {

absl::StatusOr<KvCache> KvCache::Create(const ModelConfig& config,
                                        DType dtype,
                                        int64_t num_blocks,
                                        const Device& device) {
  CHECK(dtype == DType::kBf16 || dtype == DType::kF32);
  CHECK_GT(num_blocks, 0);
  const int64_t num_layers = config.num_hidden_layers + config.num_nextn_predict_layers;
  const int64_t layer_bytes = num_blocks * kBlockSize * config.latent_row_width() * SizeOf(dtype);
  ASSIGN_OR_RETURN(DeviceBuffer buffer,
                   DeviceBuffer::Allocate(device, static_cast<size_t>(num_layers * layer_bytes)));
  std::vector<LatentCache> layers;
  for (int64_t i = 0; i < num_layers; ++i) {
    layers.push_back({.rows = static_cast<std::byte*>(buffer.data()) + i * layer_bytes,
                      .dtype = dtype,
                      .num_blocks = num_blocks,
                      .block_size = kBlockSize,
                      .row_width = config.latent_row_width()});
  }
  return KvCache(std::move(buffer), std::move(layers));
}

DType DefaultCacheDType(const ModelConfig& config) {
  return config.dtype == DType::kF32 ? DType::kF32 : DType::kBf16;
}

}  // namespace hadal
