#include "kernels/self_test/check_finite.h"

#include <array>
#include <limits>

namespace hadal::self_test {

CheckFiniteProblem::CheckFiniteProblem(int64_t num_rows, int64_t width)
    : x(num_rows, width), is_finite(num_rows) {
  using Limits = std::numeric_limits<float>;
  constexpr std::array<float, 4> kNotFinite = {
      Limits::quiet_NaN(), Limits::infinity(), -Limits::quiet_NaN(), -Limits::infinity()};
  Random random(static_cast<uint32_t>(num_rows * 17 + width));
  x.Fill([&] { return random.Normal(); });
  for (int64_t row = 0; row < num_rows && width > 0; ++row) {
    const auto turn = static_cast<size_t>(row / 2);
    x.view()(row, row * 37 % width) =
        row % 2 == 0 ? kNotFinite[turn % kNotFinite.size()] : Limits::max();
  }
}

std::vector<float> CheckFiniteProblem::Outputs() const {
  const std::vector<int32_t> words = is_finite.Elements();
  return {words.begin(), words.end()};
}

}  // namespace hadal::self_test
