#include "engine/model/kv_cache.h"

#include <utility>

namespace hadal {

absl::StatusOr<KvCache> KvCache::Create(const Args& args) {
  CHECK(args.dtype == DType::kBf16 || args.dtype == DType::kF32);
  CHECK_GT(args.num_blocks, 0);
  const ModelConfig& config = args.config;
  const int64_t num_layers =
      config.num_hidden_layers +
      (args.mtp == MtpCache::kIncluded ? config.num_nextn_predict_layers : 0);
  const int64_t layer_bytes =
      args.num_blocks * kBlockSize * config.latent_row_width() * SizeOf(args.dtype);
  ASSIGN_OR_RETURN(
      DeviceBuffer buffer,
      DeviceBuffer::Allocate(args.device, static_cast<size_t>(num_layers * layer_bytes)));
  std::vector<LatentCache> layers;
  for (int64_t i = 0; i < num_layers; ++i) {
    layers.push_back({.rows = static_cast<std::byte*>(buffer.data()) + i * layer_bytes,
                      .dtype = args.dtype,
                      .num_blocks = args.num_blocks,
                      .block_size = kBlockSize,
                      .row_width = config.latent_row_width()});
  }
  return KvCache(std::move(buffer), std::move(layers));
}

DType DefaultCacheDType(const ModelConfig& config) {
  return config.dtype == DType::kF32 ? DType::kF32 : DType::kBf16;
}

}  // namespace hadal
