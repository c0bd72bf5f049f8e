#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <variant>

#include "base/status.h"
#include "engine/model/kv_cache.h"

namespace hadal {

/// Memory for the cache as a user asks for it: a number of bytes, or percent of the memory that the
/// weights leave.
struct CacheBytes {
  int64_t bytes;  // > 0
};
struct CachePercent {
  int64_t percent;  // [1, 100]
};
using CacheMemory = std::variant<CacheBytes, CachePercent>;

/// Reads "4GiB", "512MiB", "2GB", "4294967296" (bytes) or "50%". Units: KiB, MiB, GiB, TiB of 1024,
/// kB, MB, GB, TB of 1000. InvalidArgument for anything else, for zero, and for what int64_t cannot
/// hold.
absl::StatusOr<CacheMemory> ParseCacheMemory(std::string_view text);

/// Bytes of `device` that can still be taken. The errors of ReadAvailableMemory.
absl::StatusOr<int64_t> AvailableBytes(const Device& device);

struct CacheBudgetArgs {
  const ModelConfig& config;
  MtpCache mtp;
  DType dtype;
  std::optional<CacheMemory> memory;  // nothing: the default below
  int64_t available_bytes;            // AvailableBytes of the cache's device
  int64_t weight_bytes;               // that `available_bytes` still counts as available: those of
                                      // mapped files, read already or not
  int64_t max_running_sequences;
  int64_t max_sequence_tokens;
};

/// Blocks of a cache for that much memory. By default half of what the weights leave, but no more
/// than max_running_sequences of max_sequence_tokens each can fill. InvalidArgument when that is
/// less than one block, or more bytes than are available.
absl::StatusOr<int64_t> NumCacheBlocks(const CacheBudgetArgs& args);

}  // namespace hadal
