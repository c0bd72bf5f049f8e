#include "kernels/moe_experts.h"

#include "tests/support/compare.h"
#include "tests/support/kernel_runner.h"
#include "tests/support/random_mlp.h"

namespace hadal {
namespace {

enum class Load { kRandom, kOneExpert, kLastExperts };

struct Shape {
  int64_t num_tokens;
  int64_t hidden_size;
  int64_t intermediate_size;
  int64_t num_experts;
  int64_t top_k;
  Load load;
};

// kOneExpert: every token's first choice is expert 2. kLastExperts: only the last top_k are chosen.
constexpr std::array kShapes = {Shape{0, 16, 16, 4, 2, Load::kRandom},
                                Shape{1, 1, 1, 1, 1, Load::kRandom},
                                Shape{1, 40, 24, 9, 8, Load::kRandom},
                                Shape{7, 33, 18, 16, 3, Load::kRandom},
                                Shape{70, 21, 17, 5, 1, Load::kOneExpert},
                                Shape{67, 24, 35, 12, 4, Load::kOneExpert},
                                Shape{9, 130, 20, 11, 8, Load::kLastExperts},
                                Shape{2, 18, 530, 6, 6, Load::kRandom}};

struct Problem {
  Problem(const test::WeightSpec& spec, const Shape& shape)
      : random(static_cast<uint32_t>(shape.num_tokens * 13 + shape.top_k)),
        x(shape.num_tokens, shape.hidden_size),
        expert_ids(shape.num_tokens, shape.top_k),
        weights(shape.num_tokens, shape.top_k),
        y(shape.num_tokens, shape.hidden_size) {
    for (int64_t i = 0; i < shape.num_experts; ++i) {
      mlps.emplace_back(spec, shape.hidden_size, shape.intermediate_size, random);
      experts.push_back(mlps.back().weights());
    }
    x.Fill([this] { return random.Normal(); });
    y.Fill([this] { return random.Normal(); });
    weights.Fill([this] { return random.Uniform(0.0F, 1.0F); });
    start = y.Elements();
    for (int64_t t = 0; t < shape.num_tokens; ++t) {
      ChooseExperts(shape, t);
    }
  }

  void ChooseExperts(const Shape& shape, int64_t t) {
    std::vector<int32_t> order = random.Permutation(shape.num_experts);
    if (shape.load == Load::kOneExpert) {
      std::swap(order[0], *std::find(order.begin(), order.end(), 2));
    }
    for (int64_t k = 0; k < shape.top_k; ++k) {
      const int64_t last = shape.num_experts - 1 - (k + t) % shape.top_k;
      expert_ids.view()(t, k) = shape.load == Load::kLastExperts ? static_cast<int32_t>(last)
                                                                 : order[static_cast<size_t>(k)];
    }
  }

  MoeExpertsArgs Args() const {
    return {.x = x.input(),
            .expert_ids = expert_ids.input(),
            .weights = weights.input(),
            .experts = MakeView(experts.data(), experts.size()),
            .y = y.view()};
  }

  std::vector<float> Run(const KernelTable& table, test::KernelRunner& runner) {
    ResetY();
    table.moe_experts(Args(), runner.context);
    return y.Elements();
  }

  void ResetY() {
    size_t i = 0;
    y.Fill([&] { return start[i++]; });
  }

  // Each expert's own bound times its weight; the sum of top_k weighted results and of what was
  // there rounds top_k + 3 times.
  std::vector<double> Tolerances() const {
    std::vector<double> tolerances;
    const int64_t top_k = expert_ids.view().extent(1);
    const double rounding = static_cast<double>(top_k + 3) * test::kUnit;
    for (int64_t t = 0; t < x.view().extent(0); ++t) {
      std::vector<double> row(static_cast<size_t>(x.view().extent(1)), 0.0);
      for (int64_t k = 0; k < top_k; ++k) {
        const auto expert = static_cast<size_t>(expert_ids.view()(t, k));
        const test::MlpBounds bounds = mlps[expert].BoundsFor(x.input().Row(t));
        for (size_t i = 0; i < row.size(); ++i) {
          row[i] += double{weights.view()(t, k)} *
                    (bounds.tolerances[i] + rounding * bounds.magnitudes[i]);
        }
      }
      for (const double tolerance : row) {
        tolerances.push_back(tolerance + rounding * std::abs(start[tolerances.size()]));
      }
    }
    return tolerances;
  }

  test::Random random;
  std::vector<test::RandomMlp> mlps;
  std::vector<MlpWeights> experts;
  test::GuardedTensor<float, 2> x;
  test::GuardedTensor<int32_t, 2> expert_ids;
  test::GuardedTensor<float, 2> weights;
  test::GuardedTensor<float, 2> y;
  std::vector<float> start;
};

class MoeExpertsParityTest : public test::ParityTest {};

TEST_P(MoeExpertsParityTest, AllShapes) {
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(testing::Message()
                 << shape.num_tokens << " x " << shape.hidden_size << " x "
                 << shape.intermediate_size << ", " << shape.top_k << " of " << shape.num_experts);
    Problem problem(GetParam().weights, shape);
    const std::vector<float> expected = problem.Run(reference_, *runners_[0]);
    const std::vector<double> tolerances = problem.Tolerances();
    const std::string inputs_before =
        problem.x.Bytes() + problem.expert_ids.Bytes() + problem.weights.Bytes();
    std::vector<float> first;
    for (const auto& runner : runners_) {
      const std::vector<float> actual = problem.Run(table_, *runner);
      EXPECT_TRUE(test::IsClose(actual, expected, tolerances));
      EXPECT_TRUE(problem.y.GuardsIntact());
      EXPECT_TRUE(problem.x.Bytes() + problem.expert_ids.Bytes() + problem.weights.Bytes() ==
                  inputs_before);
      first = first.empty() ? actual : first;
      EXPECT_TRUE(test::HasSameBits(actual, first)) << runner->pool.num_threads() << " threads";
    }
  }
}

TEST_P(MoeExpertsParityTest, ARowHasTheSameBitsInAnyBatch) {
  for (const Load load : {Load::kRandom, Load::kOneExpert}) {
    Problem problem(GetParam().weights,
                    {.num_tokens = 69,
                     .hidden_size = 43,
                     .intermediate_size = 21,
                     .num_experts = 6,
                     .top_k = 3,
                     .load = load});
    const std::vector<float> together = problem.Run(table_, *runners_[1]);
    problem.ResetY();
    for (int64_t t = 0; t < 69; ++t) {
      MoeExpertsArgs args = problem.Args();
      args.x = args.x.Slice(t, 1);
      args.expert_ids = args.expert_ids.Slice(t, 1);
      args.weights = args.weights.Slice(t, 1);
      args.y = args.y.Slice(t, 1);
      table_.moe_experts(args, runners_[0]->context);
    }
    EXPECT_TRUE(test::HasSameBits(problem.y.Elements(), together));
  }
}

TEST_P(MoeExpertsParityTest, EveryTopK) {
  for (int64_t top_k = 1; top_k <= 8; ++top_k) {
    Problem problem(GetParam().weights,
                    {.num_tokens = 5,
                     .hidden_size = 17,
                     .intermediate_size = 9,
                     .num_experts = 8,
                     .top_k = top_k,
                     .load = Load::kRandom});
    const std::vector<float> expected = problem.Run(reference_, *runners_[0]);
    EXPECT_TRUE(test::IsClose(problem.Run(table_, *runners_[2]), expected, problem.Tolerances()))
        << "top_k " << top_k;
  }
}

// One token's NaN reaches neither the tokens that share its experts nor other rows.
TEST_P(MoeExpertsParityTest, NanStaysInItsRow) {
  Problem problem(GetParam().weights,
                  {.num_tokens = 6,
                   .hidden_size = 20,
                   .intermediate_size = 12,
                   .num_experts = 4,
                   .top_k = 2,
                   .load = Load::kOneExpert});
  const std::vector<float> clean = problem.Run(table_, *runners_[1]);
  problem.x.view()(3, 19) = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> actual = problem.Run(table_, *runners_[1]);
  for (size_t i = 0; i < actual.size(); ++i) {
    if (i / 20 == 3) {
      EXPECT_TRUE(std::isnan(actual[i]));
    } else {
      EXPECT_EQ(actual[i], clean[i]);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(BackEnds,
                         MoeExpertsParityTest,
                         testing::ValuesIn(test::ParityCases()),
                         test::NameOfParam);

}  // namespace
}  // namespace hadal
