#include "kernels/sample/portable_math.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace hadal {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::vector<float> Exp(const std::vector<float>& x, float highest, float scale) {
  std::vector<float> y(x.size());
  ExpBelow(x, highest, scale, y);
  return y;
}

TEST(PortableMathTest, ExpIsCloseAndNeverFalls) {
  std::vector<float> x;
  for (uint32_t bits = std::bit_cast<uint32_t>(87.0F); bits > 0x30000000; bits -= 1999) {
    x.push_back(-std::bit_cast<float>(bits));
  }
  const std::vector<float> y = Exp(x, 0, 1);
  for (size_t i = 0; i < x.size(); ++i) {
    const double expected = std::exp(double{x[i]});
    ASSERT_LE(std::abs(double{y[i]} - expected), 1e-7 * expected) << x[i];
    ASSERT_GE(y[i], i == 0 ? 0 : y[i - 1]) << x[i];
  }
}

TEST(PortableMathTest, ExpHasEdges) {
  EXPECT_EQ(Exp({3, kNan, -kInfinity, 3 - 88.0F}, 3, 1), (std::vector<float>{1, 0, 0, 0}));
  EXPECT_GT(Exp({-87}, 0, 1)[0], std::numeric_limits<float>::min());
  const float most = std::numeric_limits<float>::max();
  EXPECT_EQ(Exp({most, -most, 1}, most, 1), (std::vector<float>{1, 0, 0}));
  EXPECT_EQ(Exp({2, 1.9F}, 2, most), (std::vector<float>{1, 0}));
  EXPECT_EQ(Exp({2, -100}, 2, std::numeric_limits<float>::denorm_min()),
            (std::vector<float>{1, 1}));
}

// However many there are, and in place too.
TEST(PortableMathTest, ExpTakesEachAlone) {
  std::vector<float> x;
  for (int i = 0; i < 11; ++i) {
    x.push_back(-0.7F * static_cast<float>(i));
  }
  const std::vector<float> all = Exp(x, 0.5F, 1.25F);
  for (size_t begin = 0; begin < x.size(); ++begin) {
    for (size_t end = begin; end <= x.size(); ++end) {
      std::vector<float> part = x;
      const auto span = std::span(part).subspan(begin, end - begin);
      ExpBelow(span, 0.5F, 1.25F, span);
      for (size_t i = 0; i < x.size(); ++i) {
        EXPECT_EQ(part[i], i >= begin && i < end ? all[i] : x[i]);
      }
    }
  }
}

TEST(PortableMathTest, LogIsClose) {
  std::mt19937_64 random(1);
  EXPECT_EQ(LogOf(1), 0);
  for (int i = 0; i < 100'000; ++i) {
    const double fraction = std::uniform_real_distribution<double>(0, 1)(random) + 0x1p-60;
    for (const double x : {fraction,
                           1 - std::ldexp(fraction, -i % 52),
                           1 + fraction,
                           std::ldexp(1 + fraction, i % 2000 - 1000)}) {
      if (x > 0) {
        ASSERT_LE(std::abs(LogOf(x) - std::log(x)), 1e-15 * std::abs(std::log(x))) << x;
      }
    }
  }
}

// On every CPU.
TEST(PortableMathTest, BitsAreKnown) {
  const std::vector<float> y = Exp({-0.1F, -1, -12.3F, -80}, 0, 0.7F);
  EXPECT_EQ(std::bit_cast<uint32_t>(y[0]), 0x3F6EB15CU);
  EXPECT_EQ(std::bit_cast<uint32_t>(y[1]), 0x3EFE406EU);
  EXPECT_EQ(std::bit_cast<uint32_t>(y[2]), 0x393F20CCU);
  EXPECT_EQ(std::bit_cast<uint32_t>(y[3]), 0x1713F623U);
  EXPECT_EQ(std::bit_cast<uint64_t>(LogOf(0.1)), 0xC0026BB1BBB55515U);
  EXPECT_EQ(std::bit_cast<uint64_t>(LogOf(1e-9)), 0xC034B927F32BFFB8U);
  EXPECT_EQ(std::bit_cast<uint64_t>(LogOf(12345)), 0x4022D78E26AE18E7U);
}

}  // namespace
}  // namespace hadal
