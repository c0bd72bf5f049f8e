#include "engine/model/cache_budget.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <system_error>

namespace hadal {
namespace {

constexpr CachePercent kDefaultShare = {50};

struct Unit {
  std::string_view name;
  int64_t bytes;
};

constexpr std::array kUnits = {Unit{"", 1},
                               Unit{"KiB", int64_t{1} << 10U},
                               Unit{"MiB", int64_t{1} << 20U},
                               Unit{"GiB", int64_t{1} << 30U},
                               Unit{"TiB", int64_t{1} << 40U},
                               Unit{"kB", 1'000},
                               Unit{"MB", 1'000'000},
                               Unit{"GB", 1'000'000'000},
                               Unit{"TB", 1'000'000'000'000}};

// Blocks that fill as many sequences as may run. Both numbers have bounds of their own; what is
// beyond any memory is cut to a number that int64_t holds.
int64_t MostUsefulBlocks(const CacheBudgetArgs& args) {
  const int64_t per_sequence = (args.max_sequence_tokens + kBlockSize - 1) / kBlockSize;
  const int64_t most = std::numeric_limits<int64_t>::max() / std::max(per_sequence, int64_t{1});
  return std::min(args.max_running_sequences, most) * per_sequence;
}

}  // namespace

absl::StatusOr<CacheMemory> ParseCacheMemory(std::string_view text) {
  int64_t number = 0;
  const auto [rest, error] = std::from_chars(text.begin(), text.end(), number);
  const std::string_view unit(rest, text.end());
  if (error == std::errc::result_out_of_range) {
    return InvalidArgument("cache memory \"%s\" is out of range", text);
  }
  if (error == std::errc() && number > 0 && unit == "%") {
    if (number > 100) {
      return InvalidArgument("cache memory \"%s\": there is no more than 100%%", text);
    }
    return CachePercent{number};
  }
  const auto* known = std::find_if(kUnits.begin(), kUnits.end(), [unit](const Unit& known_unit) {
    return known_unit.name == unit;
  });
  if (error != std::errc() || number <= 0 || known == kUnits.end()) {
    return InvalidArgument(
        "cache memory \"%s\": expected a size such as 4GiB, 512MiB, 2GB, a number of bytes, or a "
        "share such as 50%%",
        text);
  }
  if (number > std::numeric_limits<int64_t>::max() / known->bytes) {
    return InvalidArgument("cache memory \"%s\" is out of range", text);
  }
  return CacheBytes{number * known->bytes};
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
