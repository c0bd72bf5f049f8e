#include "engine/sample/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include <gtest/gtest.h>

namespace hadal {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// A sequence: a prompt, then what was generated.
struct History {
  std::vector<TokenId> tokens;
  int64_t num_prompt_tokens = 0;
  std::vector<TokenId> drafts = {};
};

absl::StatusOr<SampledToken> Sample(const SamplingParams& params,
                                    std::vector<float> logits,
                                    const History& history) {
  Sampler sampler(std::ssize(logits));
  SampledToken sampled = {.token = -1, .logprob = 1, .top_logprobs = {{1, 2}, {3, 4}}};
  RETURN_IF_ERROR(sampler.Sample({.params = params,
                                  .tokens = history.tokens,
                                  .drafts = history.drafts,
                                  .num_prompt_tokens = history.num_prompt_tokens,
                                  .num_logprobs = params.num_logprobs,
                                  .logits = logits},
                                 sampled));
  return sampled;
}

TokenId SampleToken(const SamplingParams& params,
                    const std::vector<float>& logits,
                    const History& history) {
  const auto sampled = Sample(params, logits, history);
  EXPECT_TRUE(sampled.ok()) << sampled.status();
  return sampled.ok() ? sampled->token : -1;
}

// Draws the token at `position` with a sampler that has served others.
TokenId SampleAt(const SamplingParams& params,
                 std::vector<float> logits,
                 int64_t position,
                 Sampler& sampler) {
  static const std::vector<TokenId> kTokens(20000, 0);
  SampledToken sampled;
  const absl::Status status =
      sampler.Sample({.params = params,
                      .tokens = std::span(kTokens).first(static_cast<size_t>(position)),
                      .num_prompt_tokens = 0,
                      .logits = logits},
                     sampled);
  EXPECT_TRUE(status.ok()) << status;
  return sampled.token;
}

// How often each token is drawn, as a share.
std::map<TokenId, double> Shares(const SamplingParams& params, const std::vector<float>& logits) {
  constexpr int kDraws = 20000;
  Sampler sampler(std::ssize(logits));
  std::map<TokenId, double> shares;
  for (int64_t position = 0; position < kDraws; ++position) {
    shares[SampleAt(params, logits, position, sampler)] += 1.0 / kDraws;
  }
  return shares;
}

std::vector<float> LogitsOf(const std::vector<double>& probabilities) {
  std::vector<float> logits;
  for (const double p : probabilities) {
    logits.push_back(static_cast<float>(std::log(p)));
  }
  return logits;
}

// Four standard deviations of a share p over 20000 draws.
double Tolerance(double p) {
  return 4 * std::sqrt(p * (1 - p) / 20000) + 1e-9;
}

void ExpectShares(const SamplingParams& params,
                  const std::vector<double>& probabilities,
                  const std::vector<double>& expected) {
  std::map<TokenId, double> shares = Shares(params, LogitsOf(probabilities));
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(shares[static_cast<TokenId>(i)], expected[i], Tolerance(expected[i])) << i;
  }
}

TEST(SamplerTest, DrawsFromTheModelsDistributionByDefault) {
  ExpectShares({}, {0.5, 0.2, 0.2, 0.1}, {0.5, 0.2, 0.2, 0.1});
}

TEST(SamplerTest, TemperatureSharpens) {
  ExpectShares({.temperature = 0.5F}, {0.6, 0.3, 0.1}, {0.36 / 0.46, 0.09 / 0.46, 0.01 / 0.46});
}

TEST(SamplerTest, TopKKeepsTheBest) {
  ExpectShares({.top_k = 2}, {0.1, 0.5, 0.15, 0.25}, {0, 2.0 / 3, 0, 1.0 / 3});
}

TEST(SamplerTest, TopPKeepsTheFewestThatReachTheMass) {
  ExpectShares({.top_p = 0.7F}, {0.1, 0.5, 0.15, 0.25}, {0, 2.0 / 3, 0, 1.0 / 3});
  ExpectShares({.top_p = 0.5F}, {0.1, 0.6, 0.3}, {0, 1, 0});
  ExpectShares({.top_p = 1e-6F}, {0.4, 0.6}, {0, 1});
}

TEST(SamplerTest, TopPWorksOnWhatTopKLeft) {
  // Of the two best, 0.5 and 0.25, the first holds 2/3 of the mass.
  ExpectShares({.top_k = 2, .top_p = 0.6F}, {0.1, 0.5, 0.15, 0.25}, {0, 1, 0, 0});
}

TEST(SamplerTest, MinPComparesWithTheBest) {
  ExpectShares({.min_p = 0.32F}, {0.1, 0.5, 0.15, 0.25}, {0, 2.0 / 3, 0, 1.0 / 3});
  ExpectShares({.min_p = 1}, {0.4, 0.6}, {0, 1});
}

TEST(SamplerTest, GreedyTakesTheHighestAndTheLowerIdAmongEquals) {
  const SamplingParams greedy = {.temperature = 0};
  EXPECT_EQ(SampleToken(greedy, {1, 3, 3, 2}, {}), 1);
  EXPECT_EQ(SampleToken(greedy, {kNan, -5, kNan}, {}), 1);
}

TEST(SamplerTest, BiasAndPenaltiesComeBeforeTheChoice) {
  const History history = {.tokens = {0, 1, 1}, .num_prompt_tokens = 1};
  const std::vector<float> logits = {4.0F, 4.1F, 3.0F, -1.0F};
  EXPECT_EQ(SampleToken({.temperature = 0}, logits, history), 1);
  // Presence and frequency look at generated tokens alone: 4.1 - 2 * 0.1 falls below 4.0.
  EXPECT_EQ(SampleToken({.temperature = 0, .frequency_penalty = 0.1F}, logits, history), 0);
  EXPECT_EQ(SampleToken({.temperature = 0, .presence_penalty = 0.05F}, logits, history), 1);
  EXPECT_EQ(SampleToken({.temperature = 0, .presence_penalty = 0.2F}, logits, history), 0);
  // Repetition looks at the prompt too: 4.0 / 2 and 4.1 / 2 fall below 3.0.
  EXPECT_EQ(SampleToken({.temperature = 0, .repetition_penalty = 2}, logits, history), 2);
  EXPECT_EQ(SampleToken({.temperature = 0, .logit_bias = {{3, 5.5F}}}, logits, history), 3);
}

TEST(SamplerTest, RepetitionPenaltyMultipliesNegativeLogits) {
  const History history = {.tokens = {0}, .num_prompt_tokens = 0};
  EXPECT_EQ(SampleToken({.temperature = 0, .repetition_penalty = 2}, {-1.0F, -1.5F}, history), 1);
}

// Tokens that stand in the prompt and were generated count once for repetition, and as often as
// they were generated for frequency; a sampler forgets them afterwards.
TEST(SamplerTest, PenaltiesAreThoseOfTheSequenceAtHand) {
  const SamplingParams params = {
      .temperature = 0, .frequency_penalty = 1, .repetition_penalty = 2, .num_logprobs = 0};
  Sampler sampler(3);
  SampledToken sampled;
  const auto choose = [&](const std::vector<TokenId>& tokens, std::vector<float> logits) {
    EXPECT_TRUE(
        sampler
            .Sample({.params = params, .tokens = tokens, .num_prompt_tokens = 2, .logits = logits},
                    sampled)
            .ok());
    return logits;
  };
  EXPECT_EQ(choose({0, 0, 0, 1, 0, 1}, {8, 8, 3}), (std::vector<float>{2, 2, 3}));
  EXPECT_EQ(sampled.token, 2);
  EXPECT_EQ(choose({0, 0}, {8, 8, 3}), (std::vector<float>{4, 8, 3}));
  EXPECT_EQ(sampled.token, 1);
}

TEST(SamplerTest, ExtremePenaltiesLeaveSomethingToChoose) {
  for (const float penalty : {1e-38F, 1e38F}) {
    for (const float top_p : {0.5F, 1.0F}) {
      const SamplingParams params = {.top_p = top_p, .repetition_penalty = penalty};
      const History all = {.tokens = {0, 1, 2}, .num_prompt_tokens = 3};
      for (const std::vector<float>& logits : {std::vector<float>{20, -20, 30}, {-20, -30, -40}}) {
        const TokenId token = SampleToken(params, logits, all);
        EXPECT_TRUE(token >= 0 && token < 3);
      }
    }
  }
}

TEST(SamplerTest, TopLogprobsAreInOrder) {
  const std::vector<float> logits = {1, 5, kNan, 3, 5, -INFINITY, 4};
  for (int32_t count = 0; count <= 7; ++count) {
    const auto sampled = Sample({.temperature = 0, .num_logprobs = count}, logits, {});
    ASSERT_TRUE(sampled.ok());
    std::vector<TokenId> tokens = {1, 4, 6, 3, 0};
    tokens.resize(std::min<size_t>(tokens.size(), static_cast<size_t>(count)));
    ASSERT_EQ(sampled->top_logprobs.size(), tokens.size());
    for (size_t i = 0; i < tokens.size(); ++i) {
      EXPECT_EQ(sampled->top_logprobs[i].token, tokens[i]);
    }
  }
  EXPECT_TRUE(Sample({.temperature = 0}, logits, {})->top_logprobs.empty());
}

TEST(SamplerTest, EqualSeedsGiveEqualTokensAndOthersDiffer) {
  const std::vector<float> logits(1000, 0.0F);
  Sampler sampler(1000);
  std::vector<TokenId> first;
  std::vector<TokenId> again;
  std::vector<TokenId> other;
  for (int64_t position = 0; position < 50; ++position) {
    first.push_back(SampleAt({.seed = 7}, logits, position, sampler));
    again.push_back(SampleAt({.seed = 7}, logits, position, sampler));
    other.push_back(SampleAt({.seed = 8}, logits, position, sampler));
  }
  EXPECT_EQ(first, again);
  EXPECT_NE(first, other);
  EXPECT_GT(std::set<TokenId>(first.begin(), first.end()).size(), 25U);
}

TEST(SamplerTest, LogprobsAreTheModelsOwn) {
  const std::vector<double> probabilities = {0.1, 0.6, 0.3};
  std::vector<float> logits = LogitsOf(probabilities);
  for (float& logit : logits) {
    logit += 5;
  }
  const SamplingParams params = {.temperature = 0, .logit_bias = {{0, 50}}, .num_logprobs = 2};
  const auto sampled = Sample(params, logits, {});
  ASSERT_TRUE(sampled.ok());
  EXPECT_EQ(sampled->token, 0);
  EXPECT_NEAR(sampled->logprob, std::log(0.1), 1e-5);
  ASSERT_EQ(sampled->top_logprobs.size(), 2U);
  EXPECT_EQ(sampled->top_logprobs[0].token, 1);
  EXPECT_NEAR(sampled->top_logprobs[0].logprob, std::log(0.6), 1e-5);
  EXPECT_EQ(sampled->top_logprobs[1].token, 2);
}

TEST(SamplerTest, EndingTokensWaitForMinTokens) {
  const std::vector<float> logits = {1, 3, 2, 2.5F};
  for (int64_t num_generated = 0; num_generated < 6; ++num_generated) {
    const History history = {.tokens = std::vector<TokenId>(static_cast<size_t>(4 + num_generated)),
                             .num_prompt_tokens = 4};
    for (const float temperature : {0.0F, 0.01F}) {
      const SamplingParams params = {.temperature = temperature,
                                     .logit_bias = {{1, 10}},
                                     .min_tokens = 3,
                                     .ending_token_ids = {1, 3}};
      EXPECT_EQ(SampleToken(params, logits, history), num_generated < 3 ? 2 : 1) << num_generated;
    }
  }
  EXPECT_EQ(SampleToken({.temperature = 0, .min_tokens = 3}, logits, {}), 1) << "none are named";
}

TEST(SamplerTest, LogprobsCountTokensThatMayNotBeChosenYet) {
  const auto sampled =
      Sample({.temperature = 0, .min_tokens = 1, .ending_token_ids = {1}, .num_logprobs = 1},
             LogitsOf({0.1, 0.6, 0.3}),
             {});
  ASSERT_TRUE(sampled.ok());
  EXPECT_EQ(sampled->token, 2);
  EXPECT_NEAR(sampled->logprob, std::log(0.3), 1e-5);
  EXPECT_EQ(sampled->top_logprobs[0].token, 1);
  EXPECT_NEAR(sampled->top_logprobs[0].logprob, std::log(0.6), 1e-5);
}

TEST(SamplerTest, NothingLeftToChooseIsInternal) {
  const SamplingParams params = {.min_tokens = 1, .ending_token_ids = {0, 2}};
  EXPECT_EQ(Sample(params, {1, kNan, 2}, {}).status().code(), absl::StatusCode::kInternal);
  EXPECT_TRUE(Sample(params, {1, -50, 2}, {}).ok());
}

TEST(SamplerTest, RefusesLogitsWithoutAFiniteMaximum) {
  const float infinity = std::numeric_limits<float>::infinity();
  for (std::vector<float> logits :
       {std::vector<float>{kNan, kNan}, {-infinity, -infinity}, {infinity, 1}}) {
    EXPECT_EQ(Sample({}, logits, {}).status().code(), absl::StatusCode::kInternal);
  }
}

// A draft is a guess at a token: behind drafts the choice is that behind the same tokens.
TEST(SamplerTest, DraftsCountAsGenerated) {
  const std::vector<float> logits = {1, 2, 3, 2.5F, 1.5F, 2.2F};
  SamplingParams params = {.presence_penalty = 0.3F,
                           .frequency_penalty = 0.4F,
                           .repetition_penalty = 1.3F,
                           .min_tokens = 5,
                           .ending_token_ids = {1}};
  const std::vector<TokenId> tokens = {2, 0, 2, 3, 3, 5};
  for (uint64_t seed = 0; seed < 200; ++seed) {
    params.seed = seed;
    const History known = {.tokens = tokens, .num_prompt_tokens = 2};
    const History drafted = {.tokens = {2, 0, 2}, .num_prompt_tokens = 2, .drafts = {3, 3, 5}};
    EXPECT_EQ(SampleToken(params, logits, drafted), SampleToken(params, logits, known));
  }
}

// Two distributions at a distance d of each other agree at least (1 - d) / (1 + d) of the time.
TEST(SamplerTest, CloseDistributionsMostlyChooseTheSame) {
  const std::vector<double> draft = {0.5, 0.2, 0.2, 0.1, 0};
  const std::vector<double> target = {0.4, 0.3, 0.1, 0.1, 0.1};
  double distance = 0;
  for (size_t i = 0; i < draft.size(); ++i) {
    distance += std::abs(draft[i] - target[i]) / 2;
  }
  constexpr int kDraws = 20000;
  Sampler sampler(std::ssize(draft));
  int num_equal = 0;
  for (int64_t position = 0; position < kDraws; ++position) {
    num_equal += SampleAt({}, LogitsOf(draft), position, sampler) ==
                         SampleAt({}, LogitsOf(target), position, sampler)
                     ? 1
                     : 0;
  }
  const double least = (1 - distance) / (1 + distance);
  EXPECT_GT(num_equal, kDraws * least - kDraws * Tolerance(least));
  EXPECT_LT(num_equal, kDraws * (1 - distance) + kDraws * Tolerance(1 - distance));
}

TEST(SamplingParamsTest, EachFieldHasItsRange) {
  EXPECT_TRUE(ValidateSamplingParams({}, 10).ok());
  const std::vector<std::pair<SamplingParams, std::string>> bad = {
      {{.temperature = -0.1F}, "temperature"},
      {{.temperature = kNan}, "temperature"},
      {{.top_k = -1}, "top_k"},
      {{.top_p = 0}, "top_p"},
      {{.top_p = 1.1F}, "top_p"},
      {{.min_p = -0.1F}, "min_p"},
      {{.presence_penalty = 2.1F}, "presence_penalty"},
      {{.frequency_penalty = -2.1F}, "frequency_penalty"},
      {{.repetition_penalty = 0}, "repetition_penalty"},
      {{.logit_bias = {{10, 1}}}, "logit_bias"},
      {{.logit_bias = {{-1, 1}}}, "logit_bias"},
      {{.logit_bias = {{1, 101}}}, "logit_bias"},
      {{.min_tokens = -1}, "min_tokens"},
      {{.ending_token_ids = {10}}, "ending_token_ids"},
      {{.ending_token_ids = {-1}}, "ending_token_ids"},
      {{.ending_token_ids = std::vector<TokenId>(10)}, "ending_token_ids"},
      {{.num_logprobs = 11}, "logprobs"},
      {{.num_logprobs = -2}, "logprobs"}};
  for (const auto& [params, field] : bad) {
    const absl::Status status = ValidateSamplingParams(params, 10);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << field;
    EXPECT_NE(MessageOf(status).find(field), std::string_view::npos) << status;
  }
}

}  // namespace
}  // namespace hadal
