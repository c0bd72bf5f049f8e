#include "kernels/gather_rows.h"

#include "kernels/self_test/gather_rows.h"
#include "tests/support/compare.h"
#include "tests/support/kernel_runner.h"

namespace hadal {
namespace {

class GatherRowsParityTest : public test::ParityTest {};

TEST_P(GatherRowsParityTest, AllShapes) {
  for (const int64_t num_gathered : {0, 1, 3, 16, 17, 70}) {
    for (const int64_t width : {1, 7, 129, 520}) {
      SCOPED_TRACE(testing::Message() << num_gathered << " x " << width);
      self_test::GatherRowsProblem problem(
          {.num_rows = 41, .num_gathered = num_gathered, .width = width});
      problem.x.view()(40, 0) = std::numeric_limits<float>::quiet_NaN();
      problem.Reset();
      problem.Call(reference_, runners_[0]->context);
      const std::vector<float> expected = problem.Outputs();
      for (const auto& runner : runners_) {
        problem.Reset();
        problem.Call(table_, runner->context);
        EXPECT_TRUE(test::HasSameBits(problem.Outputs(), expected));
        EXPECT_TRUE(problem.GuardsIntact());
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(BackEnds,
                         GatherRowsParityTest,
                         testing::ValuesIn(test::BackEndCases()),
                         test::NameOfParam);

}  // namespace
}  // namespace hadal
