#pragma once

#include <cstdint>
#include <string_view>

namespace hadal {

/// How one op has behaved since the start.
struct KernelHealth {
  std::string_view op;              // "mla_attention"
  std::string_view implementation;  // that runs now: "cpu-avx512", or "reference" once demoted
  int64_t num_faults = 0;           // steps in which it alone gave numbers that are not finite
  bool demoted = false;             // its reference runs instead, for good
};

}  // namespace hadal
