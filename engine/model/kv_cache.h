#pragma once

#include <cstdint>
#include <vector>

#include "base/check.h"
#include "base/status.h"
#include "engine/api/forward_batch.h"
#include "engine/checkpoint/model_config.h"
#include "kernels/device.h"
#include "kernels/latent_cache.h"

namespace hadal {

/// Whether a cache has rows for the MTP layers too: only drafting needs them.
enum class MtpCache : int8_t { kNone, kIncluded };

/// Bytes of one block in all layers that the cache has rows for: what memory plans count with.
int64_t CacheBytesPerBlock(const ModelConfig& config, MtpCache mtp, DType dtype);

/// The paged latent cache of a model's layers: `num_blocks` blocks of kBlockSize rows in each
/// layer, a block id naming the same block in all of them. Written by the step that runs.
class KvCache {
 public:
  struct Args {
    const ModelConfig& config;
    MtpCache mtp;
    DType dtype;  // of LatentCache
    int64_t num_blocks;
    const Device& device;
  };

  /// ResourceExhausted when the device has no room.
  static absl::StatusOr<KvCache> Create(const Args& args);

  /// Layer i's cache; MTP layers follow the others.
  [[nodiscard]] const LatentCache& layer(int64_t i) {
    CHECK(i >= 0 && i < std::ssize(layers_));
    return layers_[static_cast<size_t>(i)];
  }
  /// Copies all rows of a block, in every layer. REQUIRES: both are inside the cache and differ.
  void CopyBlock(int64_t source, int64_t destination);

  /// Sets the row of a slot to zero in layer `first_layer` and those behind it. REQUIRES: the
  /// slot is inside the cache.
  void ZeroRow(int64_t slot, int64_t first_layer);

  [[nodiscard]] int64_t num_blocks() const { return layers_.front().num_blocks; }
  [[nodiscard]] DType dtype() const { return layers_.front().dtype; }
  [[nodiscard]] size_t size_bytes() const { return buffer_.size_bytes(); }

 private:
  KvCache(const Device& device, DeviceBuffer buffer, std::vector<LatentCache> layers);

  const Device* device_;
  DeviceBuffer buffer_;
  std::vector<std::byte> zero_row_;  // what ZeroRow writes
  std::vector<LatentCache> layers_;
};

/// The cache's element type when the user names none: float32 for float32 checkpoints, so that
/// nothing is rounded that the checkpoint does not round; bf16 for all others.
DType DefaultCacheDType(const ModelConfig& config);

}  // namespace hadal
