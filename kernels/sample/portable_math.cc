#include "kernels/sample/portable_math.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/quantization/lanes.h"

namespace hadal {
namespace {

using lanes::Broadcast;
using lanes::Floats;
using Words [[gnu::vector_size(16)]] = uint32_t;

constexpr auto kNumLanes = static_cast<size_t>(lanes::kNumLanes);

// exp(x) = 2^n exp(r) with n the integer next to x / log(2). Adding and taking away 1.5 * 2^23
// rounds to an integer, which the sum's low bits hold meanwhile. log(2) is in two parts, the first
// short enough that n times it is exact. The polynomial, 1 + r + r^2 times one whose coefficients
// make the greatest relative error least for |r| <= log(2) / 2, is within 4e-9 of exp(r).
Floats Exp(Floats x) {
  const Floats round = Broadcast(0x1.8p23F);
  const Floats lowest = Broadcast(-87);  // 2^n stays normal
  const Floats bounded = x > lowest ? x : lowest;
  const Floats shifted = bounded * Broadcast(0x1.715476p+0F) + round;
  const Floats n = shifted - round;
  const Floats r = (bounded - n * Broadcast(0x1.62e4p-1F)) - n * Broadcast(0x1.7f7d1cp-20F);
  Floats series = Broadcast(0x1.6a241ap-10F);
  series = series * r + Broadcast(0x1.1239f2p-7F);
  series = series * r + Broadcast(0x1.5558f2p-5F);
  series = series * r + Broadcast(0x1.555492p-3F);
  series = series * r + Broadcast(0x1.fffffcp-2F);
  const Floats power = Broadcast(1) + (r + r * r * series);
  const Words exponent = std::bit_cast<Words>(shifted) << 23U;
  const auto result = std::bit_cast<Floats>(std::bit_cast<Words>(power) + exponent);
  return x >= lowest ? result : Floats{};
}

}  // namespace

void ExpBelow(std::span<const float> x, float highest, float scale, std::span<float> y) {
  const auto exp = [&](const float* from, float* to) {
    const Floats result = Exp((lanes::Load(from) - Broadcast(highest)) * Broadcast(scale));
    std::memcpy(to, &result, sizeof(result));
  };
  size_t i = 0;
  for (; i + kNumLanes <= x.size(); i += kNumLanes) {
    exp(&x[i], &y[i]);
  }
  if (i < x.size()) {
    std::array<float, kNumLanes> last;
    last.fill(highest);
    std::copy(x.begin() + static_cast<ptrdiff_t>(i), x.end(), last.begin());
    exp(last.data(), last.data());
    std::copy_n(last.begin(), x.size() - i, y.begin() + static_cast<ptrdiff_t>(i));
  }
}

// x = 2^n m with m from sqrt(1/2) to sqrt(2), and log(m) = 2 atanh(s) with s = (m - 1) / (m + 1),
// whose square is below 0.03: what comes after its eleventh power is below 1e-17.
double LogOf(double x) {
  constexpr uint64_t kSqrtHalf = 0x3FE6A09E667F3BCD;
  constexpr int kMantissaBits = 52;
  const uint64_t above = std::bit_cast<uint64_t>(x) - kSqrtHalf;
  const auto n = static_cast<int64_t>(above) >> kMantissaBits;
  const auto m = std::bit_cast<double>((above & ((1ULL << kMantissaBits) - 1)) + kSqrtHalf);
  const double s = (m - 1) / (m + 1);
  const double square = s * s;
  double series = 0;
  for (int i = 23; i >= 1; i -= 2) {
    series = series * square + 1.0 / i;
  }
  return static_cast<double>(n) * 0x1.62e42fefa39efp-1 + 2 * s * series;
}

}  // namespace hadal
