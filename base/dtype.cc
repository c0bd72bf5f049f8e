#include "base/dtype.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "base/check.h"

namespace hadal {
namespace {

struct DTypeInfo {
  DType dtype;
  int64_t size_bytes;
  std::string_view name;
};

constexpr std::array kDTypes = {
    DTypeInfo{DType::kF32, 4, "F32"},
    DTypeInfo{DType::kBf16, 2, "BF16"},
    DTypeInfo{DType::kF16, 2, "F16"},
    DTypeInfo{DType::kFp8E4m3, 1, "F8_E4M3"},
    DTypeInfo{DType::kE8m0, 1, "F8_E8M0"},
    DTypeInfo{DType::kI8, 1, "I8"},
    DTypeInfo{DType::kU8, 1, "U8"},
    DTypeInfo{DType::kI32, 4, "I32"},
    DTypeInfo{DType::kI64, 8, "I64"},
};

const DTypeInfo& InfoOf(DType dtype) {
  const auto index = static_cast<size_t>(dtype);
  CHECK_LT(index, kDTypes.size());
  return kDTypes[index];
}

// `magnitude`, finite and not negative, as the encoding of a small float with `mantissa_bits` and
// exponent bias `bias`, rounded to nearest even. A carry out of the mantissa goes into the
// exponent, as the encoding wants it; the caller bounds the largest value.
uint32_t EncodeMagnitude(float magnitude, int mantissa_bits, int bias) {
  if (magnitude == 0) {
    return 0;
  }
  int exponent = 0;
  std::frexp(magnitude, &exponent);
  const int unbiased = std::max(exponent - 1, 1 - bias);  // subnormals share the smallest exponent
  const double ulps = std::ldexp(static_cast<double>(magnitude), mantissa_bits - unbiased);
  const auto rounded = static_cast<uint32_t>(std::nearbyint(ulps));
  return rounded +
         (static_cast<uint32_t>(unbiased + bias - 1) << static_cast<uint32_t>(mantissa_bits));
}

float DecodeMagnitude(uint32_t bits, int mantissa_bits, int bias) {
  const auto shift = static_cast<uint32_t>(mantissa_bits);
  const auto exponent = static_cast<int>(bits >> shift);
  const uint32_t mantissa = bits & ((1U << shift) - 1U);
  if (exponent == 0) {
    return std::ldexp(static_cast<float>(mantissa), 1 - bias - mantissa_bits);
  }
  return std::ldexp(static_cast<float>(mantissa | (1U << shift)), exponent - bias - mantissa_bits);
}

}  // namespace

int64_t SizeOf(DType dtype) {
  return InfoOf(dtype).size_bytes;
}

std::string_view NameOf(DType dtype) {
  return InfoOf(dtype).name;
}

std::optional<DType> DTypeFromName(std::string_view name) {
  for (const DTypeInfo& info : kDTypes) {
    if (info.name == name) {
      return info.dtype;
    }
  }
  return std::nullopt;
}

float ToFloat(f16 value) {
  const uint32_t magnitude = value.bits & 0x7FFFU;
  float result = 0;
  if (magnitude >= 0x7C00U) {
    result = magnitude > 0x7C00U ? std::numeric_limits<float>::quiet_NaN()
                                 : std::numeric_limits<float>::infinity();
  } else {
    result = DecodeMagnitude(magnitude, 10, 15);
  }
  return (value.bits & 0x8000U) != 0 ? -result : result;
}

f16 ToF16(float value) {
  const uint32_t sign = std::signbit(value) ? 0x8000U : 0U;
  const float magnitude = std::fabs(value);
  uint32_t bits = 0;
  if (std::isnan(value)) {
    bits = 0x7E00U;
  } else if (magnitude >= 65520.0F) {  // the middle between the largest finite value and 2^16
    bits = 0x7C00U;
  } else {
    bits = EncodeMagnitude(magnitude, 10, 15);
  }
  return {static_cast<uint16_t>(sign | bits)};
}

float ToFloat(fp8_e4m3 value) {
  constexpr uint32_t kBiasDifference = 127 - 7;
  const uint32_t magnitude = value.bits & 0x7FU;
  float result = 0;
  if (magnitude == 0x7FU) {
    result = std::numeric_limits<float>::quiet_NaN();
  } else if (magnitude < 8) {  // below the smallest normal number
    result = static_cast<float>(magnitude) * 0x1p-9F;
  } else {
    result = std::bit_cast<float>((magnitude << 20U) + (kBiasDifference << 23U));
  }
  return (value.bits & 0x80U) != 0 ? -result : result;
}

fp8_e4m3 ToFp8E4m3(float value) {
  const uint32_t sign = std::signbit(value) ? 0x80U : 0U;
  const float magnitude = std::fabs(value);
  uint32_t bits = 0;
  if (std::isnan(value)) {
    bits = 0x7FU;
  } else if (magnitude >= 448.0F) {
    bits = 0x7EU;
  } else {
    bits = EncodeMagnitude(magnitude, 3, 7);
  }
  return {static_cast<uint8_t>(sign | bits)};
}

float ToFloat(e8m0 value) {
  if (value.bits == 0xFFU) {
    return std::numeric_limits<float>::quiet_NaN();
  }
  return std::ldexp(1.0F, static_cast<int>(value.bits) - 127);
}

}  // namespace hadal
