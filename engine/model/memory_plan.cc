#include "engine/model/memory_plan.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <system_error>

#include "base/byte_size.h"
#include "engine/checkpoint/model_summary.h"

namespace hadal {
namespace {

// Of a host's memory, which other programs use too, and of a device's of its own. What is left
// there is for the driver and for recordings of steps.
constexpr CachePercent kHostShare = {50};
constexpr CachePercent kDeviceShare = {90};

// Blocks that fill as many sequences as may run. Both numbers have bounds of their own; what is
// beyond any memory is cut to a number that int64_t holds.
int64_t MostUsefulBlocks(const MemoryPlanArgs& args) {
  const int64_t per_sequence = NumBlocksFor(args.max_sequence_tokens);
  const int64_t most = std::numeric_limits<int64_t>::max() / std::max(per_sequence, int64_t{1});
  return std::min(args.max_running_sequences, most) * per_sequence;
}

// Blocks of the cache that was asked for, or of a share. No number of bytes is beyond adding up.
int64_t ChooseNumBlocks(const MemoryPlanArgs& args, int64_t block_bytes) {
  constexpr int64_t kMostBytes = int64_t{1} << 62U;
  const CacheMemory memory = args.memory.value_or(args.device.is_host ? kHostShare : kDeviceShare);
  if (const auto* given = std::get_if<CacheBytes>(&memory)) {
    return std::min(given->bytes, kMostBytes) / block_bytes;
  }
  const int64_t left_bytes =
      std::max(int64_t{0}, args.available_bytes - args.weight_bytes - args.step_bytes);
  const int64_t num_blocks =
      left_bytes / 100 * std::get<CachePercent>(memory).percent / block_bytes;
  return args.memory.has_value() ? num_blocks : std::min(num_blocks, MostUsefulBlocks(args));
}

}  // namespace

absl::StatusOr<CacheMemory> ParseCacheMemory(std::string_view text) {
  if (text.ends_with('%')) {
    int64_t percent = 0;
    const auto [rest, error] = std::from_chars(text.begin(), text.end(), percent);
    if (error == std::errc() && rest == text.end() - 1 && percent > 100) {
      return InvalidArgument("cache memory \"%s\": there is no more than 100%%", text);
    }
    if (error == std::errc() && rest == text.end() - 1 && percent > 0) {
      return CachePercent{percent};
    }
  }
  const absl::StatusOr<int64_t> bytes = ParseByteSize(text);
  if (absl::IsOutOfRange(bytes.status())) {
    return InvalidArgument("cache memory \"%s\" is out of range", text);
  }
  if (!bytes.ok() || *bytes == 0) {
    return InvalidArgument(
        "cache memory \"%s\": expected a size such as 4GiB, 512MiB, 2GB, a number of bytes, or a "
        "share such as 50%%",
        text);
  }
  return CacheBytes{*bytes};
}

absl::StatusOr<int64_t> AvailableBytes(const Device& device) {
  return device.available_bytes != nullptr ? device.available_bytes()
                                           : ReadAvailableMemory("/proc/meminfo");
}

std::string Describe(const MemoryPlan& plan) {
  return absl::StrFormat(
      "%d bytes available on device %s: weights %d, steps %d, cache %d (%d blocks, %d tokens), "
      "%d left",
      plan.available_bytes,
      plan.device,
      plan.weight_bytes,
      plan.step_bytes,
      plan.cache_bytes,
      plan.num_blocks,
      plan.num_blocks * kBlockSize,
      plan.available_bytes - plan.needed_bytes());
}

absl::StatusOr<MemoryPlan> PlanMemory(const MemoryPlanArgs& args) {
  const int64_t block_bytes = CacheBytesPerBlock(args.config, args.mtp, args.cache_dtype);
  MemoryPlan plan = {.device = args.device.name,
                     .available_bytes = args.available_bytes,
                     .weight_bytes = args.weight_bytes,
                     .step_bytes = args.step_bytes,
                     .num_blocks = ChooseNumBlocks(args, block_bytes)};
  plan.cache_bytes = plan.num_blocks * block_bytes;
  const int64_t evictable_bytes = args.device.is_host ? plan.weight_bytes : 0;
  if (plan.needed_bytes() - evictable_bytes > plan.available_bytes) {
    return InvalidArgument("weights, steps and cache exceed the memory: %s", Describe(plan));
  }
  if (plan.num_blocks < 1) {
    return InvalidArgument(
        "the cache's memory holds no block, which takes %d bytes: %s", block_bytes, Describe(plan));
  }
  plan.num_blocks = std::min(plan.num_blocks, int64_t{std::numeric_limits<int32_t>::max()});
  plan.cache_bytes = plan.num_blocks * block_bytes;
  return plan;
}

}  // namespace hadal
