#pragma once

#include <utility>

namespace hadal::cpu {

/// Calls f(i) for i of std::integral_constant type, 0 to kCount - 1, each call written out: so that
/// GCC 12 keeps a small array of vectors in registers, which it does not in a loop.
template <int kCount, typename F>
[[gnu::always_inline]] inline void Unroll(F f) {
  [&]<int... kIndices>(std::integer_sequence<int, kIndices...>) __attribute__((always_inline)) {
    (f(std::integral_constant<int, kIndices>()), ...);
  }
  (std::make_integer_sequence<int, kCount>());
}

}  // namespace hadal::cpu
