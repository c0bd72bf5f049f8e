#include "kernels/linear.h"

#include "kernels/self_test/linear.h"
#include "tests/support/compare.h"
#include "tests/support/kernel_runner.h"

namespace hadal {
namespace {

using Shape = self_test::LinearShape;
using Problem = self_test::LinearProblem;

// 0, 1, odd and more than 64 tokens; inputs that no vector, piece of 512 or fp8 block divides, and
// more than two pieces; outputs that no tile or work item divides.
constexpr std::array kShapes = {Shape{0, 64, 16},
                                Shape{1, 1, 1},
                                Shape{1, 7, 3},
                                Shape{3, 129, 17},
                                Shape{4, 512, 16},
                                Shape{5, 513, 20},
                                Shape{64, 40, 33},
                                Shape{65, 72, 18},
                                Shape{70, 1100, 7},
                                Shape{2, 600, 130},
                                Shape{131, 24, 5},
                                // What tensor cores take: several segments, one, a tail of one.
                                Shape{3, 1664, 80},
                                Shape{17, 784, 66},
                                Shape{67, 256, 130}};

class LinearParityTest : public test::ParityTest {};
class LinearExactTest : public test::ParityTest {};

TEST_P(LinearParityTest, AllShapes) {
  for (const Shape& shape : kShapes) {
    for (const Output output : {Output::kStore, Output::kAdd}) {
      SCOPED_TRACE(testing::Message() << shape.num_tokens << " x " << shape.in << " x " << shape.out
                                      << ", output " << static_cast<int>(output));
      Shape with_output = shape;
      with_output.output = output;
      Problem problem(GetParam().weights, with_output);
      problem.Reset();
      problem.Call(reference_, runners_[0]->context);
      const std::vector<float> expected = problem.y.Elements();
      const std::vector<double> tolerances = problem.Tolerances(expected);
      const std::string x_before = problem.x.Bytes();
      std::vector<float> first;
      for (const auto& runner : runners_) {
        problem.Reset();
        table_.linear(problem.Args(), runner->context);
        const std::vector<float> actual = problem.y.Elements();
        EXPECT_TRUE(test::IsClose(actual, expected, tolerances));
        EXPECT_TRUE(problem.y.GuardsIntact());
        EXPECT_TRUE(problem.x.Bytes() == x_before);
        first = first.empty() ? actual : first;
        EXPECT_TRUE(test::HasSameBits(actual, first)) << runner->pool.num_threads() << " threads";
      }
    }
  }
}

TEST_P(LinearParityTest, ARowHasTheSameBitsInAnyBatch) {
  for (const int64_t in : {8, 77, 530}) {
    constexpr int64_t kTokens = 67;
    constexpr int64_t kOut = 21;
    Problem problem(GetParam().weights, {.num_tokens = kTokens, .in = in, .out = kOut});
    problem.Reset();
    table_.linear(problem.Args(), runners_[1]->context);
    const std::vector<float> together = problem.y.Elements();
    for (const int64_t num_tokens : {1, 2, 3, 5}) {
      for (int64_t t = 0; t + num_tokens <= kTokens; t += num_tokens) {
        LinearArgs args = problem.Args();
        args.x = args.x.Slice(t, num_tokens);
        args.y = args.y.Slice(t, num_tokens);
        table_.linear(args, runners_[0]->context);
      }
      EXPECT_TRUE(test::HasSameBits(problem.y.Elements(), together))
          << "in batches of " << num_tokens << ", in = " << in;
    }
  }
}

TEST_P(LinearParityTest, NanAndInfinityStayInTheirRow) {
  Problem problem(GetParam().weights, {.num_tokens = 9, .in = 50, .out = 19});
  problem.x.view()(2, 49) = std::numeric_limits<float>::quiet_NaN();
  problem.x.view()(6, 0) = std::numeric_limits<float>::infinity();
  problem.Reset();
  reference_.linear(problem.Args(), runners_[0]->context);
  const std::vector<float> expected = problem.y.Elements();
  problem.Reset();
  table_.linear(problem.Args(), runners_[1]->context);
  std::vector<double> tolerances(expected.size(), 1e-4);
  EXPECT_TRUE(test::IsClose(problem.y.Elements(), expected, tolerances));
  EXPECT_TRUE(std::isnan(problem.y.view()(2, 18)));
  EXPECT_TRUE(std::isfinite(problem.y.view()(3, 0)));
}

// Small multiples of powers of two: every sum is exact, so that a misplaced element shows however
// large the matrix is.
TEST_P(LinearExactTest, ExactNumbersGiveExactSums) {
  const Shape shape = {.num_tokens = 66, .in = 700, .out = 37};
  self_test::Random random(7);
  std::vector<float> values(static_cast<size_t>(shape.in * shape.out));
  for (float& value : values) {
    value = static_cast<float>(random.Below(9) - 4) / 8;
  }
  Problem problem(GetParam().weights, shape);
  problem.weight = self_test::WeightBuffer(GetParam().weights, shape.out, shape.in, values);
  problem.x.Fill([&] { return static_cast<float>(random.Below(17) - 8) / 4; });
  problem.Reset();
  reference_.linear(problem.Args(), runners_[0]->context);
  const std::vector<float> expected = problem.y.Elements();
  for (const auto& runner : runners_) {
    problem.Reset();
    table_.linear(problem.Args(), runner->context);
    EXPECT_TRUE(test::HasSameBits(problem.y.Elements(), expected));
  }
}

INSTANTIATE_TEST_SUITE_P(EmulatedTiles,
                         LinearParityTest,
                         testing::ValuesIn(test::EmulatedTilesCases()),
                         test::NameOfParam);
INSTANTIATE_TEST_SUITE_P(EmulatedTiles,
                         LinearExactTest,
                         testing::ValuesIn(test::EmulatedTilesCases()),
                         test::NameOfParam);
INSTANTIATE_TEST_SUITE_P(BackEnds,
                         LinearParityTest,
                         testing::ValuesIn(test::ParityCases()),
                         test::NameOfParam);
INSTANTIATE_TEST_SUITE_P(BackEnds,
                         LinearExactTest,
                         testing::ValuesIn(test::PublishedFormatCases()),
                         test::NameOfParam);

}  // namespace
}  // namespace hadal
