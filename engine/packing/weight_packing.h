#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace hadal {

/// What a model's large matrices are stored as while it runs.
enum class WeightPacking : int8_t {
  kNative,  // as the checkpoint has them
  kInt8,    // in panels (kernels/quantization/panels.h)
  kInt4,    // the same, but for the head, which is int8
};

inline constexpr std::array kWeightPackings = {
    WeightPacking::kNative, WeightPacking::kInt8, WeightPacking::kInt4};

/// "native", "int8" or "int4".
constexpr std::string_view NameOf(WeightPacking packing) {
  switch (packing) {
    case WeightPacking::kNative:
      break;
    case WeightPacking::kInt8:
      return "int8";
    case WeightPacking::kInt4:
      return "int4";
  }
  return "native";
}

}  // namespace hadal
