#include "kernels/mlp.h"

#include "tests/support/compare.h"
#include "tests/support/kernel_runner.h"
#include "tests/support/random_mlp.h"

namespace hadal {
namespace {

struct Shape {
  int64_t num_tokens;
  int64_t hidden_size;
  int64_t intermediate_size;
};

constexpr std::array kShapes = {Shape{0, 32, 16},
                                Shape{1, 1, 1},
                                Shape{1, 33, 18},
                                Shape{3, 130, 47},
                                Shape{66, 24, 35},
                                Shape{2, 60, 1030},
                                Shape{5, 520, 64}};

struct Problem {
  Problem(const test::WeightSpec& spec, const Shape& shape)
      : random(static_cast<uint32_t>(shape.num_tokens * 7 + shape.hidden_size)),
        mlp(spec, shape.hidden_size, shape.intermediate_size, random),
        x(shape.num_tokens, shape.hidden_size),
        y(shape.num_tokens, shape.hidden_size) {
    x.Fill([this] { return random.Normal(); });
    y.Fill([this] { return random.Normal(); });
    start = y.Elements();
  }

  MlpArgs Args() const { return {.x = x.input(), .weights = mlp.weights(), .y = y.view()}; }

  std::vector<float> Run(const KernelTable& table, test::KernelRunner& runner) {
    size_t i = 0;
    y.Fill([&] { return start[i++]; });
    table.mlp(Args(), runner.context);
    return y.Elements();
  }

  // The network's own bound, and the rounding of the sum with what was there.
  std::vector<double> Tolerances() const {
    std::vector<double> tolerances;
    for (int64_t t = 0; t < x.view().extent(0); ++t) {
      const test::MlpBounds bounds = mlp.BoundsFor(x.input().Row(t));
      for (size_t i = 0; i < bounds.tolerances.size(); ++i) {
        const double result = bounds.magnitudes[i] + std::abs(start[tolerances.size()]);
        tolerances.push_back(bounds.tolerances[i] + 2 * test::kUnit * result);
      }
    }
    return tolerances;
  }

  test::Random random;
  test::RandomMlp mlp;
  test::GuardedTensor<float, 2> x;
  test::GuardedTensor<float, 2> y;
  std::vector<float> start;
};

class MlpParityTest : public test::ParityTest {};

TEST_P(MlpParityTest, AllShapes) {
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(testing::Message() << shape.num_tokens << " x " << shape.hidden_size << " x "
                                    << shape.intermediate_size);
    Problem problem(GetParam().weights, shape);
    const std::vector<float> expected = problem.Run(reference_, *runners_[0]);
    const std::vector<double> tolerances = problem.Tolerances();
    const std::string x_before = problem.x.Bytes();
    std::vector<float> first;
    for (const auto& runner : runners_) {
      const std::vector<float> actual = problem.Run(table_, *runner);
      EXPECT_TRUE(test::IsClose(actual, expected, tolerances));
      EXPECT_TRUE(problem.y.GuardsIntact());
      EXPECT_TRUE(problem.x.Bytes() == x_before);
      first = first.empty() ? actual : first;
      EXPECT_TRUE(test::HasSameBits(actual, first)) << runner->pool.num_threads() << " threads";
    }
  }
}

TEST_P(MlpParityTest, ARowHasTheSameBitsInAnyBatch) {
  Problem problem(GetParam().weights,
                  {.num_tokens = 66, .hidden_size = 77, .intermediate_size = 45});
  const std::vector<float> together = problem.Run(table_, *runners_[1]);
  size_t i = 0;
  problem.y.Fill([&] { return problem.start[i++]; });
  for (int64_t t = 0; t < 66; t += 3) {
    MlpArgs args = problem.Args();
    args.x = args.x.Slice(t, 3);
    args.y = args.y.Slice(t, 3);
    table_.mlp(args, runners_[0]->context);
  }
  EXPECT_TRUE(test::HasSameBits(problem.y.Elements(), together));
}

// silu of large numbers is 0 or the number, never NaN; a NaN stays in its row.
TEST_P(MlpParityTest, LargeActivationsAndNan) {
  Problem problem(GetParam().weights,
                  {.num_tokens = 4, .hidden_size = 40, .intermediate_size = 30});
  for (float& value : problem.x.view().Row(1)) {
    value *= 1e4F;
  }
  problem.x.view()(2, 3) = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> expected = problem.Run(reference_, *runners_[0]);
  std::vector<double> tolerances = problem.Tolerances();
  std::fill_n(tolerances.begin() + 80, 40, 0.0);  // the row of the NaN is all NaN
  const std::vector<float> actual = problem.Run(table_, *runners_[1]);
  EXPECT_TRUE(test::IsClose(actual, expected, tolerances));
  EXPECT_TRUE(std::isfinite(actual[40]));
  EXPECT_TRUE(std::isnan(actual[80]));
}

INSTANTIATE_TEST_SUITE_P(BackEnds,
                         MlpParityTest,
                         testing::ValuesIn(test::ParityCases()),
                         test::NameOfParam);

}  // namespace
}  // namespace hadal
