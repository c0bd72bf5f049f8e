#include "server/grpc/generation_fields.h"

#include <chrono>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "proto/hadal/v1/inference.pb.h"

namespace hadal {
namespace {

using testing::ElementsAre;
using testing::Pair;
using testing::StartsWith;

using Change = std::function<void(v1::GenerationParams&)>;

absl::Status StatusOf(const Change& change) {
  v1::GenerationParams message;
  change(message);
  return ReadGenerationParams(message, {}).status();
}

TEST(GenerationFieldsTest, AbsentFieldsHaveTheirDefaults) {
  const auto params = ReadGenerationParams({}, {});
  ASSERT_TRUE(params.ok());
  EXPECT_EQ(params->sampling.temperature, 1);
  EXPECT_EQ(params->sampling.top_p, 1);
  EXPECT_EQ(params->sampling.top_k, 0);
  EXPECT_EQ(params->sampling.repetition_penalty, 1);
  EXPECT_EQ(params->sampling.num_logprobs, -1);
  EXPECT_EQ(params->n, 1);
  EXPECT_FALSE(params->seed.has_value());
  EXPECT_FALSE(params->max_tokens.has_value());
  EXPECT_FALSE(params->timeout.has_value());
  EXPECT_TRUE(params->parallel_tool_calls);
  EXPECT_FALSE(params->ignore_eos);
}

TEST(GenerationFieldsTest, ReadsEveryField) {
  v1::GenerationParams message;
  message.set_temperature(0);
  message.set_top_p(0.5);
  message.set_top_k(7);
  message.set_min_p(0.25);
  message.set_presence_penalty(-1);
  message.set_frequency_penalty(1.5);
  message.set_repetition_penalty(1.25);
  for (const TokenId token : {9, 3}) {
    v1::LogitBias& bias = *message.add_logit_bias();
    bias.set_token(token);
    bias.set_bias(static_cast<float>(token));
  }
  message.set_seed(std::numeric_limits<uint64_t>::max());
  message.set_max_tokens(20);
  message.set_min_tokens(10);
  message.set_n(2);
  message.add_stop("\n\n");
  message.add_stop_token_ids(11);
  message.set_ignore_eos(true);
  message.set_logprobs(0);
  message.set_cache_salt("salt");
  message.set_priority(5);
  message.set_target_tpot_ms(0.25F);
  // A field that is added gets a line here.
  EXPECT_EQ(v1::GenerationParams::descriptor()->field_count(), 19);
  const auto params = ReadGenerationParams(message, {});
  ASSERT_TRUE(params.ok()) << params.status();
  EXPECT_EQ(params->sampling.temperature, 0);
  EXPECT_EQ(params->sampling.top_p, 0.5F);
  EXPECT_EQ(params->sampling.top_k, 7);
  EXPECT_EQ(params->sampling.min_p, 0.25F);
  EXPECT_EQ(params->sampling.presence_penalty, -1);
  EXPECT_EQ(params->sampling.frequency_penalty, 1.5F);
  EXPECT_EQ(params->sampling.repetition_penalty, 1.25F);
  EXPECT_THAT(params->sampling.logit_bias, ElementsAre(Pair(3, 3), Pair(9, 9)));
  EXPECT_EQ(params->sampling.num_logprobs, 0);
  EXPECT_EQ(params->seed, std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(params->max_tokens, 20);
  EXPECT_EQ(params->min_tokens, 10);
  EXPECT_EQ(params->n, 2);
  EXPECT_THAT(params->stop, ElementsAre("\n\n"));
  EXPECT_THAT(params->stop_token_ids, ElementsAre(11));
  EXPECT_TRUE(params->ignore_eos);
  EXPECT_EQ(params->cache_salt, "salt");
  EXPECT_EQ(params->priority, 5);
  EXPECT_EQ(params->target_tpot, std::chrono::microseconds(250));
}

TEST(GenerationFieldsTest, ValuesWithTwoNamesHaveOne) {
  v1::GenerationParams message;
  message.set_top_k(-1);
  message.set_top_p(0);
  const auto params = ReadGenerationParams(message, {});
  ASSERT_TRUE(params.ok());
  EXPECT_EQ(params->sampling.top_k, 0);
  EXPECT_GT(params->sampling.top_p, 0);
  EXPECT_TRUE(ValidateSamplingParams(params->sampling, 10).ok());
}

// Values at a bound, and the first beyond it.
struct Bound {
  std::string path;
  Change good;
  Change bad;
};

template <typename Value>
void AddNumber(const std::string& name,
               void (v1::GenerationParams::*set)(Value),
               Value min,
               Value below,
               Value max,
               Value above,
               std::vector<Bound>& bounds) {
  bounds.push_back({name, [=](auto& m) { (m.*set)(min); }, [=](auto& m) { (m.*set)(below); }});
  bounds.push_back({name, [=](auto& m) { (m.*set)(max); }, [=](auto& m) { (m.*set)(above); }});
}

TEST(GenerationFieldsTest, HoldsNumbersToTheirRanges) {
  using Params = v1::GenerationParams;
  constexpr int32_t kMax32 = std::numeric_limits<int32_t>::max();
  constexpr int64_t kMax64 = std::numeric_limits<int64_t>::max();
  constexpr int64_t kMax = kMax32;
  std::vector<Bound> bounds;
  AddNumber<float>("temperature", &Params::set_temperature, 0, -0.01F, 2, 2.01F, bounds);
  AddNumber<float>("top_p", &Params::set_top_p, 0, -0.01F, 1, 1.01F, bounds);
  AddNumber<float>("min_p", &Params::set_min_p, 0, -0.01F, 1, 1.01F, bounds);
  AddNumber<float>("presence_penalty", &Params::set_presence_penalty, -2, -2.01F, 2, 2.01F, bounds);
  AddNumber<float>(
      "frequency_penalty", &Params::set_frequency_penalty, -2, -2.01F, 2, 2.01F, bounds);
  AddNumber<float>(
      "repetition_penalty", &Params::set_repetition_penalty, 1e-6F, 0, 100, 100.1F, bounds);
  AddNumber<int32_t>("top_k", &Params::set_top_k, -1, -2, kMax32, -kMax32 - 1, bounds);
  AddNumber<int64_t>("max_tokens", &Params::set_max_tokens, 1, 0, kMax, kMax + 1, bounds);
  AddNumber<int64_t>("max_tokens", &Params::set_max_tokens, 1, -1, kMax, kMax64, bounds);
  AddNumber<int64_t>("min_tokens", &Params::set_min_tokens, 0, -1, kMax, kMax + 1, bounds);
  AddNumber<int32_t>("n", &Params::set_n, 1, 0, 8, 9, bounds);
  AddNumber<int32_t>("n", &Params::set_n, 1, -1, 8, kMax32, bounds);
  AddNumber<int32_t>("logprobs", &Params::set_logprobs, 0, -1, 20, 21, bounds);
  AddNumber<int32_t>("priority", &Params::set_priority, 0, -1, 1000, 1001, bounds);
  AddNumber<float>("target_tpot_ms", &Params::set_target_tpot_ms, 0.001F, 0, 6e4F, 6.1e4F, bounds);
  for (const Bound& bound : bounds) {
    EXPECT_TRUE(StatusOf(bound.good).ok()) << bound.path << StatusOf(bound.good);
    const absl::Status status = StatusOf(bound.bad);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << bound.path;
    EXPECT_THAT(std::string(status.message()), StartsWith("params." + bound.path + ": "));
  }
}

TEST(GenerationFieldsTest, RefusesNumbersThatAreNotFinite) {
  using Params = v1::GenerationParams;
  for (const auto set : {&Params::set_temperature,
                         &Params::set_top_p,
                         &Params::set_min_p,
                         &Params::set_presence_penalty,
                         &Params::set_frequency_penalty,
                         &Params::set_repetition_penalty}) {
    for (const float value : {std::numeric_limits<float>::quiet_NaN(),
                              std::numeric_limits<float>::infinity(),
                              -std::numeric_limits<float>::infinity()}) {
      EXPECT_TRUE(absl::IsInvalidArgument(StatusOf([=](auto& m) { (m.*set)(value); })));
      EXPECT_TRUE(
          absl::IsInvalidArgument(StatusOf([=](auto& m) { m.add_logit_bias()->set_bias(value); })));
    }
  }
}

Change Stops(int32_t num_strings, size_t num_bytes) {
  return [=](auto& message) {
    for (int32_t i = 0; i < num_strings; ++i) {
      message.add_stop(std::string(num_bytes, 'x'));
    }
  };
}

Change StopTokens(int32_t num_tokens, TokenId token) {
  return [=](auto& message) { message.mutable_stop_token_ids()->Resize(num_tokens, token); };
}

Change Biases(int32_t num_tokens, TokenId first, float value) {
  return [=](auto& message) {
    for (int32_t i = 0; i < num_tokens; ++i) {
      v1::LogitBias& bias = *message.add_logit_bias();
      bias.set_token(first + i);
      bias.set_bias(value);
    }
  };
}

Change CacheSalt(size_t num_bytes) {
  return [=](auto& message) { message.set_cache_salt(std::string(num_bytes, 'x')); };
}

TEST(GenerationFieldsTest, HoldsListsAndTextsToTheirLimits) {
  const std::vector<Bound> bounds = {
      {"stop", Stops(16, 1), Stops(17, 1)},
      {"stop", Stops(1, 256), Stops(1, 257)},
      {"stop", Stops(1, 1), Stops(1, 0)},
      {"stop_token_ids", StopTokens(64, 0), StopTokens(65, 0)},
      {"stop_token_ids", StopTokens(1, 0), StopTokens(1, -1)},
      {"logit_bias", Biases(1024, 0, 1), Biases(1025, 0, 1)},
      {"logit_bias.token", Biases(1, 0, 1), Biases(1, -1, 1)},
      {"logit_bias.bias", Biases(1, 0, 100), Biases(1, 0, 100.1F)},
      {"logit_bias.bias", Biases(1, 0, -100), Biases(1, 0, -100.1F)},
      {"cache_salt", CacheSalt(512), CacheSalt(513)},
  };
  for (const Bound& bound : bounds) {
    EXPECT_TRUE(StatusOf(bound.good).ok()) << bound.path << StatusOf(bound.good);
    const absl::Status status = StatusOf(bound.bad);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << bound.path;
    EXPECT_THAT(std::string(status.message()), StartsWith("params." + bound.path + ": "));
  }
}

TEST(GenerationFieldsTest, ATokenHasOneBias) {
  const absl::Status status = StatusOf([](auto& message) {
    Biases(3, 4, 1)(message);
    Biases(1, 5, 1)(message);
  });
  EXPECT_EQ(MessageOf(status), "params.logit_bias: token 5 occurs twice");
}

TEST(GenerationFieldsTest, MinTokensAreAtMostMaxTokens) {
  const auto set = [](int64_t min) {
    return [min](auto& message) {
      message.set_max_tokens(10);
      message.set_min_tokens(min);
    };
  };
  EXPECT_TRUE(StatusOf(set(10)).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(StatusOf(set(11))));
}

TEST(GenerationFieldsTest, LimitsAreThoseThatAreGiven) {
  v1::GenerationParams message;
  message.set_n(2);
  EXPECT_FALSE(ReadGenerationParams(message, {.max_n = 1}).ok());
  message.set_n(9);
  EXPECT_TRUE(ReadGenerationParams(message, {.max_n = 9}).ok());
}

TEST(GenerationFieldsTest, ADeadlineLeavesTime) {
  using std::chrono::seconds;
  using std::chrono::system_clock;
  const system_clock::time_point now(seconds(1000));
  const GenerationLimits limits = {.max_timeout = seconds(60)};
  EXPECT_EQ(*TimeLeft(now + seconds(59), now, limits), seconds(59));
  EXPECT_EQ(*TimeLeft(now + seconds(60), now, limits), std::nullopt);
  EXPECT_EQ(*TimeLeft(system_clock::time_point::max(), now, limits), std::nullopt);
  EXPECT_EQ(*TimeLeft(now + system_clock::duration(1), now, limits), system_clock::duration(1));
  EXPECT_TRUE(absl::IsDeadlineExceeded(TimeLeft(now, now, limits).status()));
  EXPECT_TRUE(absl::IsDeadlineExceeded(TimeLeft(now - seconds(1), now, limits).status()));
}

TEST(GenerationFieldsTest, RequestIdsArePlain) {
  EXPECT_TRUE(IsRequestId("a"));
  EXPECT_TRUE(IsRequestId("Az09._-"));
  EXPECT_TRUE(IsRequestId(std::string(64, 'a')));
  EXPECT_FALSE(IsRequestId(std::string(65, 'a')));
  for (const char* id : {"", " ", "a b", "a\n", "ä", "a/b", "a:b", "\"a\""}) {
    EXPECT_FALSE(IsRequestId(id)) << id;
  }
}

}  // namespace
}  // namespace hadal
