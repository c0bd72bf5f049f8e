#include "kernels/sample.h"

#include <array>
#include <limits>

#include "kernels/self_test/sample.h"
#include "tests/support/emulated_table.h"
#include "tests/support/kernel_runner.h"

namespace hadal {
namespace {

using Problem = self_test::SampleProblem;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

constexpr SampleChoice kGreedy = {
    .seed = 0, .position = 0, .row = 0, .temperature = 0, .top_k = 0, .top_p = 1, .min_p = 0};

// A draw from the first row.
SampleChoice DrawAt(int64_t position, int32_t top_k, float top_p) {
  SampleChoice choice = kGreedy;
  choice.position = position;
  choice.temperature = 1;
  choice.top_k = top_k;
  choice.top_p = top_p;
  return choice;
}

class SampleParityTest : public test::ParityTest {
 protected:
  // The tokens of `problem`, which must be the reference's whatever the number of threads.
  std::vector<TokenId> ExpectReferencesTokens(Problem& problem) {
    problem.Reset();
    problem.Call(reference_, runners_[0]->context);
    const std::vector<TokenId> expected = problem.token_ids.Elements();
    const std::string logits_before = problem.logits.Bytes();
    for (const auto& runner : runners_) {
      problem.Reset();
      problem.Call(table_, runner->context);
      for (size_t i = 0; i < expected.size(); ++i) {
        const auto choice = static_cast<int64_t>(i);
        EXPECT_EQ(problem.token_ids.view()(choice), expected[i]) << "choice " << i;
      }
      EXPECT_TRUE(problem.GuardsIntact());
      EXPECT_TRUE(problem.logits.Bytes() == logits_before);
      if (GetParam().back_end == test::kEmulatedCudaName) {
        break;  // has no threads
      }
    }
    return expected;
  }

  // One token for each choice, all from one row.
  std::vector<TokenId> Sample(const std::vector<float>& logits,
                              const std::vector<SampleChoice>& choices) {
    std::vector<TokenId> tokens(choices.size());
    table_.sample({.logits = MakeView(logits.data(), 1, std::ssize(logits)),
                   .choices = MakeView(choices.data(), std::ssize(choices)),
                   .token_ids = MakeView(tokens.data(), std::ssize(tokens))},
                  runners_[1]->context);
    return tokens;
  }
};

TEST_P(SampleParityTest, TokensAreTheReferences) {
  for (const int64_t vocab_size : {1, 63, 64, 65, 1000, 5000}) {
    SCOPED_TRACE(testing::Message() << vocab_size << " tokens");
    Problem problem({.num_rows = 4, .vocab_size = vocab_size});
    ExpectReferencesTokens(problem);
  }
}

TEST_P(SampleParityTest, TokensOfALargeVocabulary) {
  Problem problem({.num_rows = 4, .vocab_size = 129'280});
  problem.choices.Fill([i = 0]() mutable {
    constexpr std::array<int32_t, 4> kTopKs = {0, 40, 50'000, 0};
    constexpr std::array<float, 4> kTopPs = {0.95F, 1, 0.9F, 1};
    const auto turn = static_cast<size_t>(i++ % 4);
    return SampleChoice{.seed = 5,
                        .position = i,
                        .row = i % 4,
                        .temperature = i % 9 == 0 ? 0.0F : 0.7F,
                        .top_k = kTopKs[turn],
                        .top_p = kTopPs[turn],
                        .min_p = i % 5 == 0 ? 0.02F : 0.0F};
  });
  SampleArgs args = problem.Args();
  args.choices.extents[0] = args.token_ids.extents[0] = 12;
  problem.Reset();
  reference_.sample(args, runners_[0]->context);
  const std::vector<TokenId> expected = problem.token_ids.Elements();
  problem.Reset();
  table_.sample(args, runners_[1]->context);
  EXPECT_EQ(problem.token_ids.Elements(), expected);
}

TEST_P(SampleParityTest, NothingToChoose) {
  Problem problem({.num_rows = 0, .vocab_size = 70});
  EXPECT_TRUE(ExpectReferencesTokens(problem).empty());
}

// Where the highest logit is not finite there is no token; NaN and -inf are never chosen.
TEST_P(SampleParityTest, WhatIsNotFinite) {
  const std::vector<SampleChoice> choices = {DrawAt(0, 0, 1), kGreedy, DrawAt(1, 3, 0.5F)};
  const std::vector<TokenId> none(choices.size(), kNoToken);
  for (const size_t vocab_size : {1, 40, 64, 65, 300}) {
    for (const float broken : {kNan, -kInfinity}) {
      std::vector<float> logits(vocab_size, broken);
      EXPECT_EQ(Sample(logits, choices), none);
      for (const size_t token : {size_t{0}, vocab_size / 2, vocab_size - 1}) {
        logits.assign(vocab_size, broken);
        logits[token] = -7;
        EXPECT_EQ(Sample(logits, choices),
                  std::vector<TokenId>(choices.size(), static_cast<TokenId>(token)));
        logits[token] = kInfinity;
        EXPECT_EQ(Sample(logits, choices), none);
      }
    }
  }
}

// Those of which a cut keeps some are kept by their ids; the choice is among these.
TEST_P(SampleParityTest, LowerIdsAmongEquals) {
  std::vector<SampleChoice> choices;
  for (int64_t position = 0; position < 60; ++position) {
    choices.push_back(DrawAt(position, 67, 1));
    choices.push_back(DrawAt(position, 0, 0.25F));
    choices.push_back(DrawAt(position, 160, 0.5F));
  }
  std::vector<float> logits(320, 2);
  logits[100] = kNan;
  const std::vector<TokenId> tokens = Sample(logits, choices);
  for (size_t kind = 0; kind < 3; ++kind) {
    TokenId highest = 0;
    for (size_t i = kind; i < tokens.size(); i += 3) {
      highest = std::max(highest, tokens[i]);
    }
    constexpr std::array<TokenId, 3> kLast = {66, 79, 79};
    EXPECT_LE(highest, kLast[kind]);
    EXPECT_GE(highest, kLast[kind] - 10);
  }
  EXPECT_EQ(Sample(logits, {kGreedy}), std::vector<TokenId>{0});
}

// Tokens of 2^-36 of the best one's mass and less do not count towards top_p: here, all but one.
TEST_P(SampleParityTest, WhatWeighsAlmostNothingIsNothingToTopP) {
  std::vector<float> logits(3000, -25.5F);
  logits[2000] = 0;
  std::vector<SampleChoice> choices;
  for (int64_t position = 0; position < 50; ++position) {
    choices.push_back(DrawAt(position, 0, 0.99999994F));
  }
  EXPECT_EQ(Sample(logits, choices), std::vector<TokenId>(choices.size(), 2000));
}

TEST_P(SampleParityTest, AChoiceIsTheSameAloneAndInAnyBatch) {
  Problem problem({.num_rows = 3, .vocab_size = 777});
  const std::vector<TokenId> together = ExpectReferencesTokens(problem);
  problem.Reset();
  for (int64_t i = 0; i < problem.choices.view().extent(0); ++i) {
    SampleArgs args = problem.Args();
    args.choices = args.choices.Slice(i, 1);
    args.token_ids = args.token_ids.Slice(i, 1);
    table_.sample(args, runners_[0]->context);
  }
  EXPECT_EQ(problem.token_ids.Elements(), together);
}

INSTANTIATE_TEST_SUITE_P(BackEnds,
                         SampleParityTest,
                         testing::ValuesIn(test::BackEndCases()),
                         test::NameOfParam);

}  // namespace
}  // namespace hadal
