#include "engine/model/cache_budget.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <system_error>

#include "base/byte_size.h"
#include "engine/checkpoint/model_summary.h"

namespace hadal {
namespace {

constexpr CachePercent kDefaultShare = {50};

// Blocks that fill as many sequences as may run. Both numbers have bounds of their own; what is
// beyond any memory is cut to a number that int64_t holds.
int64_t MostUsefulBlocks(const CacheBudgetArgs& args) {
  const int64_t per_sequence = (args.max_sequence_tokens + kBlockSize - 1) / kBlockSize;
  const int64_t most = std::numeric_limits<int64_t>::max() / std::max(per_sequence, int64_t{1});
  return std::min(args.max_running_sequences, most) * per_sequence;
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

absl::StatusOr<int64_t> NumCacheBlocks(const CacheBudgetArgs& args) {
  const int64_t block_bytes = CacheBytesPerBlock(args.config, args.mtp, args.dtype);
  const int64_t left_bytes = std::max(int64_t{0}, args.available_bytes - args.weight_bytes);
  const CacheMemory memory = args.memory.value_or(kDefaultShare);
  const auto* given = std::get_if<CacheBytes>(&memory);
  const int64_t bytes =
      given != nullptr ? given->bytes : left_bytes / 100 * std::get<CachePercent>(memory).percent;
  if (bytes > args.available_bytes) {
    return InvalidArgument("the cache's %d bytes exceed the %d bytes of memory that are available",
                           bytes,
                           args.available_bytes);
  }
  int64_t num_blocks = bytes / block_bytes;
  if (!args.memory.has_value()) {
    num_blocks = std::min(num_blocks, MostUsefulBlocks(args));
  }
  if (num_blocks < 1) {
    return InvalidArgument(
        "a cache of %d bytes holds no block, which takes %d; %d bytes of memory are available, and "
        "the weights take %d",
        bytes,
        block_bytes,
        args.available_bytes,
        args.weight_bytes);
  }
  return std::min(num_blocks, int64_t{std::numeric_limits<int32_t>::max()});
}

}  // namespace hadal
