#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "kernels/latent_cache.h"

namespace hadal::self_test {

/// Owns a latent cache. Rows that were never set hold the guard pattern, which reads as NaN.
class CacheBuffer {
 public:
  /// With the sizes of `shape`; its rows are not used.
  explicit CacheBuffer(const LatentCache& shape);

  [[nodiscard]] LatentCache cache();

  /// Writes one row, rounded to the cache's type.
  void SetRow(int64_t slot, std::span<const float> row);
  [[nodiscard]] std::vector<float> Row(int64_t slot);

  /// The bytes of one row.
  [[nodiscard]] std::string RowBytes(int64_t slot) const;

  /// True when every row except those at `slots` holds the guard pattern.
  [[nodiscard]] bool OthersUntouched(std::span<const int64_t> slots) const;

 private:
  LatentCache cache_;
  std::vector<std::byte> storage_;
};

}  // namespace hadal::self_test
