#include "scheduler/limits.h"

#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scheduler/request.h"
#include "tests/scheduler/request_maker.h"

namespace hadal::test {
namespace {

using testing::HasSubstr;

TEST(LimitsTest, DefaultsAreValid) {
  EXPECT_TRUE(ValidateLimits(Limits()).ok());
}

TEST(LimitsTest, EachBoundIsChecked) {
  struct Case {
    void (*spoil)(Limits&);
    const char* name;
  };
  for (const Case& c : std::vector<Case>{
           {[](Limits& l) { l.vocab_size = 0; }, "vocab_size"},
           {[](Limits& l) { l.max_running_sequences = 0; }, "max_running_sequences"},
           {[](Limits& l) { l.max_running_sequences = l.max_step_tokens + 1; }, "max_step_tokens"},
           {[](Limits& l) { l.max_step_tokens = 0; }, "max_step_tokens"},
           {[](Limits& l) { l.max_requests = -1; }, "max_requests"},
           {[](Limits& l) { l.max_waiting_tokens = 0; }, "max_waiting_tokens"},
           {[](Limits& l) { l.max_sequence_tokens = 1; }, "max_sequence_tokens"},
           {[](Limits& l) { l.max_sequence_tokens = int64_t{1} << 40U; }, "max_sequence_tokens"},
           {[](Limits& l) { l.max_sequences_per_request = 0; }, "max_sequences_per_request"},
           {[](Limits& l) { l.max_logprobs = -1; }, "max_logprobs"},
           {[](Limits& l) { l.max_stop_token_ids = -1; }, "max_stop_token_ids"},
           {[](Limits& l) { l.max_logit_biases = -1; }, "max_logit_biases"},
           {[](Limits& l) { l.num_blocks = 0; }, "num_blocks"},
           {[](Limits& l) { l.min_chunk_tokens = 0; }, "min_chunk_tokens"},
           {[](Limits& l) { l.fairness_quantum_tokens = 0; }, "fairness_quantum_tokens"},
           {[](Limits& l) { l.watermark = 1; }, "watermark"},
           {[](Limits& l) { l.watermark = -0.1; }, "watermark"},
           {[](Limits& l) { l.watermark = std::numeric_limits<double>::quiet_NaN(); }, "watermark"},
           {[](Limits& l) { l.target_step_time = Duration::zero(); }, "target_step_time"},
           {[](Limits& l) { l.starvation_age = Duration(-1); }, "starvation_age"},
           {[](Limits& l) { l.default_patience = Duration::max(); }, "default_patience"}}) {
    Limits limits;
    c.spoil(limits);
    const absl::Status status = ValidateLimits(limits);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << c.name;
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.name));
  }
}

TEST(LimitsTest, DescribeNamesEachBound) {
  const std::string table = Describe({.num_blocks = 12345});
  EXPECT_THAT(table, HasSubstr("num_blocks"));
  EXPECT_THAT(table, HasSubstr("12345"));
  EXPECT_THAT(table, HasSubstr("0.05 s"));
}

TEST(ValidateRequestTest, RefusesWhatCanNeverRun) {
  const Limits limits = {.vocab_size = 2000, .max_sequence_tokens = 1000, .num_blocks = 4};
  struct Case {
    void (*spoil)(Request&);
    const char* message;
  };
  EXPECT_TRUE(ValidateRequest(limits, MakeRequest(1, 200, 56)).ok());
  for (const Case& c : std::vector<Case>{
           {[](Request& r) { r.prompt.clear(); }, "at least one token"},
           {[](Request& r) { r.prompt[3] = -1; }, "token -1 at place 3"},
           {[](Request& r) { r.prompt[3] = 2000; }, "vocabulary of 2000"},
           {[](Request& r) { r.num_sequences = 0; }, "n: expected 1 to 8"},
           {[](Request& r) { r.num_sequences = 9; }, "n: expected 1 to 8"},
           {[](Request& r) { r.max_new_tokens = 0; }, "max_tokens: expected 1 to 800"},
           {[](Request& r) { r.max_new_tokens = 801; }, "max_tokens: expected 1 to 800"},
           {[](Request& r) { r.max_new_tokens = std::numeric_limits<int64_t>::max(); },
            "max_tokens: expected 1 to 800"},
           {[](Request& r) { r.max_new_tokens = 57; }, "need 5 cache blocks"},
           {[](Request& r) { r.prompt.resize(1000); }, "leave no room"},
           {[](Request& r) { r.sampling.num_logprobs = 21; }, "logprobs: expected at most 20"},
           {[](Request& r) { r.stop_token_ids.resize(65); }, "stop_token_ids: expected at most 64"},
           {[](Request& r) { r.sampling.min_tokens = r.max_new_tokens + 1; },
            "min_tokens: expected at most"},
           {[](Request& r) { r.sampling.ending_token_ids.resize(65); },
            "ending_token_ids: expected at most"},
           {[](Request& r) { r.sampling.logit_bias.resize(1025); }, "logit_bias: expected at most"},
           {[](Request& r) { r.sampling.temperature = -1; }, "temperature"}}) {
    Request request = MakeRequest(1, 200, 56);
    c.spoil(request);
    const absl::Status status = ValidateRequest(limits, request);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << c.message;
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.message));
  }
}

}  // namespace
}  // namespace hadal::test
