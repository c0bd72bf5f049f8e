#include "base/dtype.h"

#include <bit>
#include <cmath>
#include <limits>

#include <gtest/gtest.h>

namespace hadal {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

TEST(DTypeTest, NamesRoundTrip) {
  for (const DType dtype : {DType::kF32,
                            DType::kBf16,
                            DType::kF16,
                            DType::kFp8E4m3,
                            DType::kE8m0,
                            DType::kI8,
                            DType::kU8,
                            DType::kI32,
                            DType::kI64}) {
    EXPECT_EQ(DTypeFromName(NameOf(dtype)), dtype);
  }
  EXPECT_EQ(DTypeFromName("F8_E5M2"), std::nullopt);
  EXPECT_EQ(SizeOf(DType::kBf16), 2);
  EXPECT_EQ(SizeOf(DType::kFp8E4m3), 1);
}

TEST(DTypeTest, Bf16RoundsToNearestEven) {
  EXPECT_EQ(ToBf16(1.0F).bits, 0x3F80);
  EXPECT_EQ(ToBf16(std::bit_cast<float>(0x3F808000U)).bits, 0x3F80);  // tie, even below
  EXPECT_EQ(ToBf16(std::bit_cast<float>(0x3F818000U)).bits, 0x3F82);  // tie, even above
  EXPECT_EQ(ToBf16(std::bit_cast<float>(0x3F808001U)).bits, 0x3F81);
  EXPECT_EQ(ToBf16(kInfinity).bits, 0x7F80);
  EXPECT_TRUE(std::isnan(ToFloat(ToBf16(std::bit_cast<float>(0x7F800001U)))));
}

TEST(DTypeTest, EveryBf16SurvivesTheRoundTrip) {
  for (uint32_t bits = 0; bits <= 0xFFFF; ++bits) {
    const float value = ToFloat(bf16{static_cast<uint16_t>(bits)});
    if (!std::isnan(value)) {
      ASSERT_EQ(ToBf16(value).bits, bits);
    }
  }
}

// The conversions below must equal the definition: of all representable values, the nearest one,
// and of two equally near the one whose encoding is even.
template <typename Decode, typename Encode>
void ExpectNearestEven(uint32_t num_magnitudes, Decode decode, Encode encode) {
  for (uint32_t bits = 0; bits + 1 < num_magnitudes; ++bits) {
    const float low = decode(bits);
    const float high = decode(bits + 1);
    ASSERT_LT(low, high);
    const float middle = low + (high - low) / 2;
    EXPECT_EQ(encode(low), bits);
    EXPECT_EQ(encode(middle), bits % 2 == 0 ? bits : bits + 1) << middle;
    EXPECT_EQ(encode(std::nextafter(middle, 0.0F)), bits);
    EXPECT_EQ(encode(std::nextafter(middle, kInfinity)), bits + 1);
  }
}

TEST(DTypeTest, Fp8E4m3IsTheNearestValue) {
  ExpectNearestEven(
      0x7F,
      [](uint32_t bits) { return ToFloat(fp8_e4m3{static_cast<uint8_t>(bits)}); },
      [](float value) { return uint32_t{ToFp8E4m3(value).bits}; });
  EXPECT_EQ(ToFloat(fp8_e4m3{0x7E}), 448.0F);
  EXPECT_EQ(ToFloat(fp8_e4m3{0x01}), std::ldexp(1.0F, -9));
  EXPECT_EQ(ToFp8E4m3(1e9F).bits, 0x7E);
  EXPECT_EQ(ToFp8E4m3(-kInfinity).bits, 0xFE);
  EXPECT_EQ(ToFp8E4m3(-1.5F).bits, 0x80 | 0x3C);
  EXPECT_TRUE(std::isnan(ToFloat(fp8_e4m3{0x7F})));
  EXPECT_TRUE(std::isnan(ToFloat(ToFp8E4m3(std::numeric_limits<float>::quiet_NaN()))));
}

TEST(DTypeTest, F16IsTheNearestValue) {
  ExpectNearestEven(
      0x7C00,
      [](uint32_t bits) { return ToFloat(f16{static_cast<uint16_t>(bits)}); },
      [](float value) { return uint32_t{ToF16(value).bits}; });
  EXPECT_EQ(ToFloat(f16{0x7BFF}), 65504.0F);
  EXPECT_EQ(ToF16(65519.0F).bits, 0x7BFF);
  EXPECT_EQ(ToF16(65520.0F).bits, 0x7C00);
  EXPECT_EQ(ToFloat(f16{0xFC00}), -kInfinity);
}

TEST(DTypeTest, E8m0IsAPowerOfTwo) {
  EXPECT_EQ(ToFloat(e8m0{127}), 1.0F);
  EXPECT_EQ(ToFloat(e8m0{0}), std::ldexp(1.0F, -127));
  EXPECT_EQ(ToFloat(e8m0{254}), std::ldexp(1.0F, 127));
  EXPECT_TRUE(std::isnan(ToFloat(e8m0{255})));
}

}  // namespace
}  // namespace hadal
