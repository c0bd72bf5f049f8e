#include "kernels/mla_project.h"

#include "kernels/self_test/mla_project.h"
#include "tests/support/compare.h"
#include "tests/support/kernel_runner.h"

namespace hadal {
namespace {

using Shape = self_test::MlaProjectShape;

constexpr std::array kShapes = {Shape{0, 16, 8, 2, 8, 4, 16},
                                Shape{1, 1, 0, 1, 1, 2, 1},
                                Shape{1, 130, 40, 3, 24, 16, 48},
                                Shape{7, 33, 0, 5, 24, 16, 48},
                                Shape{66, 24, 17, 2, 6, 2, 5},
                                Shape{3, 530, 0, 4, 128, 64, 512}};

// Holds calls to what they may read and write.
class Problem : public self_test::MlaProjectProblem {
 public:
  using MlaProjectProblem::MlaProjectProblem;

  // Queries, then the cache rows of all tokens.
  std::vector<float> Run(const KernelTable& table, test::KernelRunner& runner) {
    Reset();
    const std::string x_before = x_.Bytes();
    Call(table, runner.context);
    EXPECT_TRUE(GuardsIntact());
    EXPECT_TRUE(x_.Bytes() == x_before);
    return Outputs();
  }

  // The same, token by token.
  std::vector<float> RunOneByOne(const KernelTable& table, test::KernelRunner& runner) {
    Reset();
    for (int64_t t = 0; t < x_.view().extent(0); ++t) {
      MlaProjectArgs args = Args();
      args.x = args.x.Slice(t, 1);
      args.angles = {.cos = args.angles.cos.Slice(t, 1), .sin = args.angles.sin.Slice(t, 1)};
      args.slots = args.slots.Slice(t, 1);
      args.q = args.q.Slice(t, 1);
      table.mla_project(args, runner.context);
    }
    return Outputs();
  }
};

class MlaProjectParityTest : public test::ParityTest {};

TEST_P(MlaProjectParityTest, AllShapes) {
  for (const Shape& shape : kShapes) {
    for (const DType dtype : {DType::kF32, DType::kBf16, DType::kI8, DType::kFp8E4m3}) {
      SCOPED_TRACE(testing::Message()
                   << shape.num_tokens << " tokens, hidden " << shape.hidden_size << ", q rank "
                   << shape.q_lora_rank << ", cache " << NameOf(dtype));
      Problem problem(GetParam().weights, shape, dtype);
      const std::vector<float> expected = problem.Run(reference_, *runners_[0]);
      const std::vector<double> tolerances = problem.Tolerances(expected);
      for (const auto& runner : runners_) {
        EXPECT_TRUE(test::IsClose(problem.Run(table_, *runner), expected, tolerances))
            << runner->pool.num_threads() << " threads";
      }
    }
  }
}

TEST_P(MlaProjectParityTest, ARowHasTheSameBitsInAnyBatch) {
  for (const Shape& shape : kShapes) {
    for (const DType dtype : {DType::kF32, DType::kBf16, DType::kI8, DType::kFp8E4m3}) {
      Problem problem(GetParam().weights, shape, dtype);
      const std::vector<float> alone = problem.RunOneByOne(table_, *runners_[0]);
      for (const auto& runner : runners_) {
        EXPECT_TRUE(test::HasSameBits(problem.Run(table_, *runner), alone))
            << shape.num_tokens << " tokens, " << runner->pool.num_threads() << " threads";
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(EmulatedTiles,
                         MlaProjectParityTest,
                         testing::ValuesIn(test::EmulatedTilesCases()),
                         test::NameOfParam);
INSTANTIATE_TEST_SUITE_P(BackEnds,
                         MlaProjectParityTest,
                         testing::ValuesIn(test::ParityCases()),
                         test::NameOfParam);

}  // namespace
}  // namespace hadal
