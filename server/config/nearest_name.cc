#include "server/config/nearest_name.h"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <numeric>

namespace hadal {
namespace {

constexpr size_t kMaxLength = 128;  // longer texts are no mistyped names

// Levenshtein's distance, row by row.
size_t EditDistance(std::string_view from, std::string_view to) {
  std::vector<size_t> row(to.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < from.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t k = 0; k < to.size(); ++k) {
      const size_t replaced = diagonal + (from[i] == to[k] ? 0 : 1);
      diagonal = row[k + 1];
      row[k + 1] = std::min({replaced, row[k] + 1, row[k + 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

std::string NearestName(std::string_view found, const std::vector<std::string>& known) {
  std::string nearest;
  size_t least = std::numeric_limits<size_t>::max();
  if (found.size() > kMaxLength) {
    return nearest;
  }
  for (const std::string& name : known) {
    const size_t distance = EditDistance(found, name);
    if (distance < least && distance <= name.size() / 3) {
      nearest = name;
      least = distance;
    }
  }
  return nearest;
}

}  // namespace hadal
