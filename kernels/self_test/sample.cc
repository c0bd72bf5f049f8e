#include "kernels/self_test/sample.h"

#include <array>
#include <limits>

namespace hadal::self_test {
namespace {

constexpr std::array<float, 5> kTemperatures = {1, 0, 0.6F, 1e-30F, 1e30F};
constexpr std::array<float, 5> kTopPs = {1, 0.5F, 0.95F, 1e-6F, 0.99999994F};
constexpr std::array<float, 3> kMinPs = {0, 0.07F, 1};
constexpr std::array<float, 4> kSpreads = {0, 1, 8, 60};
constexpr int64_t kChoicesPerRow = 25;
constexpr int64_t kOftenTimes = 40;  // one logit in so many is NaN, and one -inf

// Every temperature with every top_p, and other parameters by turns.
SampleChoice ChoiceOf(int64_t i, int64_t vocab_size) {
  const std::array<int64_t, 6> top_ks = {0, 1, 7, 40, vocab_size / 2 + 1, vocab_size + 1};
  const auto turn = static_cast<size_t>(i);
  return {.seed = 1000 + static_cast<uint64_t>(i) % 3,
          .position = i * i,
          .row = i / kChoicesPerRow,
          .temperature = kTemperatures[turn % kTemperatures.size()],
          .top_k = static_cast<int32_t>(top_ks[turn % top_ks.size()]),
          .top_p = kTopPs[turn / kTemperatures.size() % kTopPs.size()],
          .min_p = kMinPs[turn % 7 % kMinPs.size()]};
}

}  // namespace

SampleProblem::SampleProblem(const SampleShape& shape)
    : logits(shape.num_rows, shape.vocab_size),
      choices(shape.num_rows * kChoicesPerRow),
      token_ids(shape.num_rows * kChoicesPerRow) {
  Random random(static_cast<uint32_t>(shape.vocab_size));
  for (int64_t row = 0; row < shape.num_rows; ++row) {
    FillRow(row, random);
  }
  choices.Fill([i = int64_t{0}, &shape]() mutable { return ChoiceOf(i++, shape.vocab_size); });
}

// Odd rows have many equal logits. One logit at least is finite.
void SampleProblem::FillRow(int64_t row, Random& random) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  const float spread = kSpreads[static_cast<size_t>(row) % kSpreads.size()];
  const std::span<float> values = logits.view().Row(row);
  for (float& value : values) {
    value = row % 2 == 0 ? random.Normal() : static_cast<float>(random.Below(5)) / 4;
    value = random.Below(kOftenTimes) == 0 ? kNan : value * spread;
    value = random.Below(kOftenTimes) == 0 ? -kInfinity : value;
  }
  values[static_cast<size_t>(random.Below(std::ssize(values)))] = spread;
}

std::vector<float> SampleProblem::Outputs() const {
  const std::vector<TokenId> tokens = token_ids.Elements();
  return {tokens.begin(), tokens.end()};
}

bool SampleProblem::GuardsIntact() const {
  return logits.GuardsIntact() && choices.GuardsIntact() && token_ids.GuardsIntact();
}

}  // namespace hadal::self_test
