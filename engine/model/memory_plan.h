#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/status.h"
#include "engine/model/kv_cache.h"

namespace hadal {

/// Memory for the cache as a user asks for it: a number of bytes, or percent of the memory that
/// weights and steps leave.
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

/// What a server takes of one device's memory, before any of it is taken.
struct MemoryPlan {
  std::string device;           // its name
  int64_t available_bytes = 0;  // of the device
  int64_t weight_bytes = 0;
  int64_t step_bytes = 0;  // StepMemory::total_bytes
  int64_t cache_bytes = 0;
  int64_t num_blocks = 0;  // of the cache

  [[nodiscard]] int64_t needed_bytes() const { return weight_bytes + step_bytes + cache_bytes; }
  [[nodiscard]] bool Fits() const { return needed_bytes() <= available_bytes; }
};

/// One line: every number of the plan.
std::string Describe(const MemoryPlan& plan);

struct MemoryPlanArgs {
  const ModelConfig& config;
  MtpCache mtp;
  DType cache_dtype;
  std::optional<CacheMemory> memory;  // for the cache; nothing: the default below
  const Device& device;
  int64_t available_bytes;  // AvailableBytes(device)
  int64_t weight_bytes;     // still to be loaded, files that are mapped included
  int64_t step_bytes;
  int64_t max_running_sequences;
  int64_t max_sequence_tokens;
};

/// A plan whose cache has that much memory. By default nine tenths of what weights and steps leave,
/// or half where the device is the host, which has other programs too; but no more than
/// max_running_sequences of max_sequence_tokens each can fill. InvalidArgument, with all numbers,
/// when the cache has no block, or all of it is more than there is. Weights do not count for that
/// on the host, where the system drops pages of mapped files when memory is short.
absl::StatusOr<MemoryPlan> PlanMemory(const MemoryPlanArgs& args);

}  // namespace hadal
