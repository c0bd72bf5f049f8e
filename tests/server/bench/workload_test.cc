#include "server/bench/workload.h"

#include <algorithm>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/test_folder.h"

namespace hadal {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Workload::Args SomeArgs() {
  return {.lengths = std::vector<RequestLength>(6, {.prompt_tokens = 10, .output_tokens = 4}),
          .vocab_size = 1000,
          .shared_prefix = 0,
          .temperature = 0,
          .rate = std::nullopt,
          .seed = 3};
}

int64_t NumEqualLeading(const std::vector<TokenId>& a, const std::vector<TokenId>& b) {
  const auto [end, ignored] = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  return end - a.begin();
}

std::string ErrorOf(std::string_view text) {
  const absl::StatusOr<std::vector<RequestLength>> lengths = ParseRequestLengths(text);
  EXPECT_EQ(lengths.status().code(), absl::StatusCode::kInvalidArgument) << text;
  return std::string(MessageOf(lengths.status()));
}

TEST(RequestLengthsTest, ComeAsAnArrayOrAsLines) {
  const RequestLength first{.prompt_tokens = 3, .output_tokens = 5};
  const RequestLength second{.prompt_tokens = 1, .output_tokens = 2};
  for (const std::string_view text :
       {R"( [{"prompt_tokens": 3, "output_tokens": 5}, {"output_tokens": 2, "prompt_tokens": 1}])",
        R"({"prompt_tokens": 3, "output_tokens": 5, "note": "x"}

{"prompt_tokens": 1, "output_tokens": 2})"}) {
    const absl::StatusOr<std::vector<RequestLength>> lengths = ParseRequestLengths(text);
    ASSERT_EQ(lengths.status(), absl::OkStatus());
    EXPECT_THAT(*lengths, ElementsAre(first, second));
  }
}

TEST(RequestLengthsTest, ErrorsNameTheValue) {
  EXPECT_THAT(ErrorOf(""), HasSubstr("no requests"));
  EXPECT_THAT(ErrorOf("[]"), HasSubstr("no requests"));
  EXPECT_THAT(ErrorOf("[{\"prompt_tokens\": 3}]"), HasSubstr("[0].output_tokens"));
  EXPECT_THAT(ErrorOf("\n{\"prompt_tokens\": 0, \"output_tokens\": 1}"),
              HasSubstr("line 2.prompt_tokens"));
  EXPECT_THAT(ErrorOf("{\"prompt_tokens\": 1, \"output_tokens\": 1}\n7"), HasSubstr("line 2"));
  EXPECT_THAT(ErrorOf("{\"prompt_tokens\": 1, \"output_tokens\": 1}\n{"), HasSubstr("line 2"));
  EXPECT_THAT(ErrorOf("["), HasSubstr(""));
}

TEST(RequestLengthsTest, ErrorsOfFilesNameTheFile) {
  const std::string folder = FreshTestFolder();
  EXPECT_EQ(ReadRequestLengths(folder + "/missing").status().code(), absl::StatusCode::kNotFound);
  const std::string path = folder + "/lengths";
  std::ofstream(path) << "[1]";
  EXPECT_THAT(MessageOf(ReadRequestLengths(path).status()), HasSubstr(path + ": [0]"));
}

TEST(RequestLengthsTest, MustFitTheContext) {
  const std::vector<RequestLength> lengths = {{.prompt_tokens = 1, .output_tokens = 1},
                                              {.prompt_tokens = 60, .output_tokens = 4}};
  EXPECT_EQ(CheckRequestLengths(lengths, 64), absl::OkStatus());
  const absl::Status status = CheckRequestLengths(lengths, 63);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(MessageOf(status), HasSubstr("request 1: a prompt of 60 tokens and 4 more"));
}

TEST(RequestLengthsTest, MustNotAskForMoreTokensThanAreKept) {
  const std::vector<RequestLength> lengths(101, {.prompt_tokens = 1, .output_tokens = 1'000'000});
  EXPECT_THAT(MessageOf(CheckRequestLengths(lengths, 2'000'000)), HasSubstr("100000000"));
}

TEST(WorkloadTest, RequestsDependOnSeedAndNumberAlone) {
  const Workload workload(SomeArgs());
  const Workload same(SomeArgs());
  Workload::Args args = SomeArgs();
  args.seed = 4;
  const Workload other(args);
  EXPECT_EQ(workload.MakeRequest(5).prompt, same.MakeRequest(5).prompt);
  EXPECT_EQ(workload.MakeRequest(0).sampling.seed, same.MakeRequest(0).sampling.seed);
  EXPECT_NE(workload.MakeRequest(5).prompt, other.MakeRequest(5).prompt);
  EXPECT_NE(workload.MakeRequest(0).prompt, workload.MakeRequest(1).prompt);
}

TEST(WorkloadTest, RequestsHaveTheirLengthsAndIdsOfTheVocabulary) {
  Workload::Args args = SomeArgs();
  args.lengths[2] = {.prompt_tokens = 500, .output_tokens = 9};
  args.vocab_size = 7;
  const Workload workload(args);
  const Request request = workload.MakeRequest(2);
  EXPECT_EQ(request.id, RequestId{2});
  EXPECT_EQ(std::ssize(request.prompt), 500);
  EXPECT_EQ(request.max_new_tokens, 9);
  EXPECT_TRUE(request.stop_token_ids.empty());
  EXPECT_EQ(std::ranges::min(request.prompt), 0);
  EXPECT_EQ(std::ranges::max(request.prompt), 6);
  EXPECT_EQ(workload.total_prompt_tokens(), 550);
  EXPECT_EQ(workload.max_request_tokens(), 509);
}

TEST(WorkloadTest, TheSharedPrefixIsRounded) {
  for (const auto& [share, expected] : {std::pair{0.0, 0},
                                        std::pair{0.24, 2},
                                        std::pair{0.25, 3},
                                        std::pair{0.5, 5},
                                        std::pair{1.0, 10}}) {
    Workload::Args args = SomeArgs();
    args.shared_prefix = share;
    const Workload workload(args);
    EXPECT_EQ(NumEqualLeading(workload.MakeRequest(0).prompt, workload.MakeRequest(1).prompt),
              expected)
        << share;
  }
}

TEST(WorkloadTest, ArrivalsAreAPoissonProcess) {
  Workload::Args args = SomeArgs();
  args.lengths.resize(20000, {.prompt_tokens = 1, .output_tokens = 1});
  args.rate = 50;
  const Workload workload(args);
  double sum_squares = 0;
  Duration previous{};
  for (int64_t i = 0; i < workload.num_requests(); ++i) {
    const double gap = std::chrono::duration<double>(workload.ArrivalOf(i) - previous).count();
    EXPECT_GE(gap, 0);
    sum_squares += gap * gap;
    previous = workload.ArrivalOf(i);
  }
  const double mean = std::chrono::duration<double>(previous).count() / 20000;
  EXPECT_NEAR(mean, 1.0 / 50, 0.02 / 50);                    // four standard errors or so
  EXPECT_NEAR(sum_squares / 20000, 2.0 / 2500, 0.2 / 2500);  // twice the mean's square
  EXPECT_EQ(Workload(SomeArgs()).ArrivalOf(5), Duration::zero());
}

}  // namespace
}  // namespace hadal
