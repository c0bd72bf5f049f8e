// What is drawn follows the distribution that the parameters ask for: chi-square tests of 100,000
// draws, over a dozen tokens and over the demo model's next tokens, against a plain restatement of
// the rules in double precision.

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <string>

#include <gtest/gtest.h>

#include "engine/sample/sampler.h"
#include "engine/sequence_runner.h"
#include "tests/demo/demo_chats.h"
#include "tests/support/golden.h"

namespace hadal {
namespace {

#ifdef HADAL_SANITIZED
constexpr int64_t kNumDraws = 5'000;
#else
constexpr int64_t kNumDraws = 100'000;
#endif

// A sequence whose next token is drawn.
struct Place {
  std::vector<TokenId> tokens;
  int64_t num_prompt_tokens;
  std::vector<float> logits;
};

using Probabilities = std::vector<double>;

// Zeroes all but the tokens that `keep` says of, best first, and what is left adds up to 1 again.
template <typename Keep>
void Cut(Probabilities& p, Keep keep) {
  std::vector<size_t> order(p.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return p[a] > p[b]; });
  const double best = p[order.front()];
  double mass_before = 0;
  double mass = 0;
  for (size_t rank = 0; rank < order.size(); ++rank) {
    double& value = p[order[rank]];
    const double original = value;
    value = keep(rank, mass_before, value / best) ? value : 0;
    mass_before += original;
    mass += value;
  }
  for (double& value : p) {
    value /= mass;
  }
}

// In the order that sampler.h gives.
Probabilities Expected(const SamplingParams& params, const Place& place) {
  Probabilities logits(place.logits.begin(), place.logits.end());
  for (const auto& [token, bias] : params.logit_bias) {
    logits[static_cast<size_t>(token)] += double{bias};
  }
  std::map<TokenId, int> seen;
  std::map<TokenId, int> generated;
  for (int64_t i = 0; i < std::ssize(place.tokens); ++i) {
    const TokenId token = place.tokens[static_cast<size_t>(i)];
    ++seen[token];
    generated[token] += i >= place.num_prompt_tokens ? 1 : 0;
  }
  for (const auto& [token, count] : seen) {
    double& logit = logits[static_cast<size_t>(token)];
    const double penalty{params.repetition_penalty};
    logit = logit > 0 ? logit / penalty : logit * penalty;
  }
  for (const auto& [token, count] : generated) {
    logits[static_cast<size_t>(token)] -=
        double{params.frequency_penalty} * count + double{params.presence_penalty} * (count > 0);
  }
  if (std::ssize(place.tokens) - place.num_prompt_tokens < params.min_tokens) {
    for (const TokenId token : params.ending_token_ids) {
      logits[static_cast<size_t>(token)] = -std::numeric_limits<double>::infinity();
    }
  }
  const double most = *std::max_element(logits.begin(), logits.end());
  Probabilities p;
  for (const double logit : logits) {
    p.push_back(std::exp((logit - most) / double{params.temperature}));
  }
  const double sum = std::accumulate(p.begin(), p.end(), 0.0);
  for (double& value : p) {
    value /= sum;
  }
  if (params.top_k > 0) {
    Cut(p, [&](size_t rank, double, double) { return rank < static_cast<size_t>(params.top_k); });
  }
  if (params.top_p < 1) {
    Cut(p, [&](size_t, double before, double) { return before < double{params.top_p}; });
  }
  Cut(p, [&](size_t, double, double of_best) { return of_best >= double{params.min_p}; });
  return p;
}

std::vector<int64_t> Draw(SamplingParams params, const Place& place) {
  Sampler sampler(std::ssize(place.logits));
  std::vector<int64_t> counts(place.logits.size());
  std::vector<float> logits;
  SampledToken sampled;
  for (params.seed = 0; params.seed < kNumDraws; ++params.seed) {
    logits = place.logits;
    EXPECT_TRUE(sampler
                    .Sample({.params = params,
                             .tokens = place.tokens,
                             .num_prompt_tokens = place.num_prompt_tokens,
                             .logits = logits},
                            sampled)
                    .ok());
    ++counts[static_cast<size_t>(sampled.token)];
  }
  return counts;
}

// Pearson's statistic, tokens that are expected fewer than five times taken together, as a
// deviation from its mean in standard deviations (Wilson and Hilferty 1931): above 5 once in three
// million.
double ChiSquareDeviation(const std::vector<int64_t>& counts, const Probabilities& expected) {
  double statistic = 0;
  double rare_expected = 0;
  double rare_count = 0;
  int64_t num_cells = 0;
  const auto add = [&](double count, double mean) {
    statistic += (count - mean) * (count - mean) / mean;
    ++num_cells;
  };
  for (size_t i = 0; i < counts.size(); ++i) {
    const double mean = expected[i] * static_cast<double>(kNumDraws);
    const auto count = static_cast<double>(counts[i]);
    if (mean >= 5) {
      add(count, mean);
    } else {
      rare_expected += mean;
      rare_count += count;
    }
  }
  if (rare_expected >= 5) {
    add(rare_count, rare_expected);
  } else {
    EXPECT_LE(rare_count, 25);
  }
  if (num_cells < 2) {
    return 0;
  }
  const auto freedom = static_cast<double>(num_cells - 1);
  const double spread = 2 / (9 * freedom);
  return (std::cbrt(statistic / freedom) - (1 - spread)) / std::sqrt(spread);
}

const std::vector<std::pair<std::string, SamplingParams>>& Options() {
  static const std::vector<std::pair<std::string, SamplingParams>> kOptions = {
      {"temperature_1", {}},
      {"temperature", {.temperature = 0.7F}},
      {"top_k", {.top_k = 5}},
      {"top_p", {.top_p = 0.8F}},
      {"min_p", {.min_p = 0.05F}},
      {"penalties",
       {.presence_penalty = 0.4F, .frequency_penalty = 0.3F, .repetition_penalty = 1.3F}},
      {"logit_bias_and_min_tokens",
       {.logit_bias = {{3, 2.0F}, {5, -1.0F}}, .min_tokens = 9, .ending_token_ids = {1}}},
      {"all_together",
       {.temperature = 1.3F,
        .top_k = 9,
        .top_p = 0.95F,
        .min_p = 0.02F,
        .presence_penalty = -0.2F,
        .frequency_penalty = 0.2F,
        .repetition_penalty = 1.1F,
        .logit_bias = {{2, 1.0F}}}}};
  return kOptions;
}

class DistributionTest : public testing::TestWithParam<size_t> {
 protected:
  const SamplingParams& params_ = Options()[GetParam()].second;
};

TEST_P(DistributionTest, OfADozenTokens) {
  Place place = {.tokens = {0, 7, 7, 2, 4, 4, 4}, .num_prompt_tokens = 3, .logits = {}};
  for (int i = 0; i < 12; ++i) {
    place.logits.push_back(std::sin(static_cast<float>(i) * 1.7F) * 2);
  }
  EXPECT_LT(ChiSquareDeviation(Draw(params_, place), Expected(params_, place)), 5);
}

// The first word of a story is open: the model has a choice.
TEST_P(DistributionTest, OfTheDemoModelsNextTokens) {
  const Golden golden = Golden::Demo();
  ModelRunner runner(golden, "auto", MlaForm::kAbsorbed);
  const std::vector<TokenId> chat = DemoChats().at(4);
  auto sequence = SequenceRunner::Create({.model = runner.model(),
                                          .context = runner.context(),
                                          .cache_dtype = DType::kF32,
                                          .max_tokens = std::ssize(chat),
                                          .chunk_tokens = 64});
  ASSERT_TRUE(sequence.ok());
  const std::span<const float> logits = sequence->AppendAndPredict(chat);
  const Place place = {.tokens = chat,
                       .num_prompt_tokens = std::ssize(chat) / 2,
                       .logits = {logits.begin(), logits.end()}};
  EXPECT_LT(ChiSquareDeviation(Draw(params_, place), Expected(params_, place)), 5);
}

INSTANTIATE_TEST_SUITE_P(Options,
                         DistributionTest,
                         testing::Range(size_t{0}, Options().size()),
                         [](const auto& test_case) { return Options()[test_case.param].first; });

}  // namespace
}  // namespace hadal
