#include "engine/model/kv_cache.h"

#include <span>
#include <utility>

#include "engine/checkpoint/model_summary.h"

namespace hadal {
namespace {

int64_t NumCachedLayers(const ModelConfig& config, MtpCache mtp) {
  return config.num_hidden_layers +
         (mtp == MtpCache::kIncluded ? config.num_nextn_predict_layers : 0);
}

// Of one layer.
int64_t LayerBlockBytes(const ModelConfig& config, DType dtype) {
  return kBlockSize * CacheRowBytes(config, dtype);
}

}  // namespace

int64_t CacheBytesPerBlock(const ModelConfig& config, MtpCache mtp, DType dtype) {
  return NumCachedLayers(config, mtp) * LayerBlockBytes(config, dtype);
}

absl::StatusOr<KvCache> KvCache::Create(const Args& args) {
  CHECK_GT(args.num_blocks, 0);
  const ModelConfig& config = args.config;
  const int64_t num_layers = NumCachedLayers(config, args.mtp);
  const int64_t layer_bytes = args.num_blocks * LayerBlockBytes(config, args.dtype);
  ASSIGN_OR_RETURN(
      DeviceBuffer buffer,
      DeviceBuffer::Allocate(args.device, static_cast<size_t>(num_layers * layer_bytes)));
  std::vector<LatentCache> layers;
  for (int64_t i = 0; i < num_layers; ++i) {
    layers.push_back({.rows = static_cast<std::byte*>(buffer.data()) + i * layer_bytes,
                      .dtype = args.dtype,
                      .num_blocks = args.num_blocks,
                      .block_size = kBlockSize,
                      .row_width = config.latent_row_width(),
                      .kv_lora_rank = config.kv_lora_rank});
  }
  return KvCache(args.device, std::move(buffer), std::move(layers));
}

KvCache::KvCache(const Device& device, DeviceBuffer buffer, std::vector<LatentCache> layers)
    : device_(&device),
      buffer_(std::move(buffer)),
      zero_row_(static_cast<size_t>(RowBytes(layers.front()))),
      layers_(std::move(layers)) {}

void KvCache::CopyBlock(int64_t source, int64_t destination) {
  CHECK(source >= 0 && source < num_blocks());
  CHECK(destination >= 0 && destination < num_blocks());
  CHECK_NE(source, destination);
  for (const LatentCache& layer : layers_) {
    const int64_t block_bytes = layer.block_size * RowBytes(layer);
    auto* blocks = static_cast<std::byte*>(layer.rows);
    device_->copy(blocks + destination * block_bytes,
                  blocks + source * block_bytes,
                  static_cast<size_t>(block_bytes));
  }
}

void KvCache::ZeroRow(int64_t slot, int64_t first_layer) {
  CHECK(slot >= 0 && slot < num_blocks() * kBlockSize);
  CHECK(first_layer >= 0 && first_layer <= std::ssize(layers_));
  for (const LatentCache& layer : std::span(layers_).subspan(static_cast<size_t>(first_layer))) {
    device_->copy(RowOf(layer, slot), zero_row_.data(), zero_row_.size());
  }
}

DType DefaultCacheDType(const ModelConfig& config) {
  return config.dtype == DType::kF32 ? DType::kF32 : DType::kBf16;
}

}  // namespace hadal
