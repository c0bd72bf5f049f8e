#pragma once

// Element types of tensors and their exact conversions to and from float.

#include <bit>
#include <cstdint>
#include <optional>
#include <string_view>

namespace hadal {

enum class DType : int8_t { kF32, kBf16, kF16, kFp8E4m3, kE8m0, kI8, kU8, kI32, kI64 };

/// Bytes of one element.
int64_t SizeOf(DType dtype);

/// The name that safetensors files use: "F32", "BF16", "F16", "F8_E4M3", "F8_E8M0", "I8", …
std::string_view NameOf(DType dtype);

/// The inverse of NameOf; nothing for a name that Hadal does not know.
std::optional<DType> DTypeFromName(std::string_view name);

/// bfloat16: the upper half of a float.
struct bf16 {
  uint16_t bits;
};

/// IEEE 754 binary16.
struct f16 {
  uint16_t bits;
};

/// OCP 8-bit float E4M3 ("fn"): 4 exponent bits of bias 7, no infinities, S.1111.111 is NaN,
/// largest finite value 448.
struct fp8_e4m3 {
  uint8_t bits;
};

/// OCP E8M0 scale: 2^(bits - 127); 0xFF is NaN.
struct e8m0 {
  uint8_t bits;
};

inline float ToFloat(float value) {
  return value;
}

inline float ToFloat(bf16 value) {
  return std::bit_cast<float>(static_cast<uint32_t>(value.bits) << 16U);
}

/// Rounds to nearest, ties to even; NaN stays NaN.
inline bf16 ToBf16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7FFFFFFFU) > 0x7F800000U) {
    return {static_cast<uint16_t>((bits >> 16U) | 0x40U)};
  }
  return {static_cast<uint16_t>((bits + 0x7FFFU + ((bits >> 16U) & 1U)) >> 16U)};
}

float ToFloat(f16 value);

/// Rounds to nearest, ties to even; too large becomes infinity; NaN stays NaN.
f16 ToF16(float value);

float ToFloat(fp8_e4m3 value);

/// Rounds to nearest, ties to even, saturating at ±448 (infinities too); NaN stays NaN.
fp8_e4m3 ToFp8E4m3(float value);

float ToFloat(e8m0 value);

}  // namespace hadal
