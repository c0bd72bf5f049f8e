#pragma once

#include <type_traits>
#include <utility>

#include "base/check.h"

namespace hadal {

/// `value` as the integer type To. A value that To cannot hold is a broken invariant.
template <typename To, typename From>
constexpr To CheckedCast(From value) {
  static_assert(std::is_integral_v<To> && std::is_integral_v<From>);
  CHECK(std::in_range<To>(value));
  return static_cast<To>(value);
}

}  // namespace hadal
