#include "kernels/check_finite.h"

#include "kernels/self_test/check_finite.h"
#include "tests/support/kernel_runner.h"

namespace hadal {
namespace {

class CheckFiniteParityTest : public test::ParityTest {};

TEST_P(CheckFiniteParityTest, AllShapes) {
  for (const int64_t num_rows : {0, 1, 4, 9, 70}) {
    for (const int64_t width : {1, 7, 32, 257, 1025}) {
      SCOPED_TRACE(testing::Message() << num_rows << " x " << width);
      self_test::CheckFiniteProblem problem(num_rows, width);
      for (const auto& runner : runners_) {
        problem.Reset();
        problem.Call(table_, runner->context);
        for (int64_t row = 0; row < num_rows; ++row) {
          EXPECT_EQ(problem.is_finite.view()(row), row % 2) << row;
        }
        EXPECT_TRUE(problem.GuardsIntact());
      }
      problem.Reset();
      problem.Call(reference_, runners_[0]->context);
      for (int64_t row = 0; row < num_rows; ++row) {
        EXPECT_EQ(problem.is_finite.view()(row), row % 2) << row;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(BackEnds,
                         CheckFiniteParityTest,
                         testing::ValuesIn(test::BackEndCases()),
                         test::NameOfParam);

}  // namespace
}  // namespace hadal
