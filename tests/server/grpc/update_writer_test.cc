#include "server/grpc/update_writer.h"

#include <utility>

#include <gtest/gtest.h>

#include "proto/hadal/v1/inference.pb.h"

namespace hadal {
namespace {

using Kind = AnswerDelta::Kind;

v1::ChoiceDelta Written(UpdateWriter& writer, ChoiceDelta delta) {
  v1::AnswerUpdate update;
  writer.Append(std::move(delta), update);
  EXPECT_EQ(update.deltas_size(), 1);
  return update.deltas(0);
}

TEST(UpdateWriterTest, WritesEachKindOfPart) {
  UpdateWriter writer(2, "stem");
  const v1::ChoiceDelta delta =
      Written(writer,
              {.choice = 1,
               .parts = {{.kind = Kind::kReasoning, .text = "hm"},
                         {.kind = Kind::kContent, .text = "well"},
                         {.kind = Kind::kToolCall, .text = "f", .call_index = 0},
                         {.kind = Kind::kArguments, .text = "{}", .call_index = 0},
                         {.kind = Kind::kToolCallEnd, .text = "", .call_index = 0},
                         {.kind = Kind::kToolCall, .text = "g", .call_index = 1},
                         {.kind = Kind::kToolCallCutOff, .text = "", .call_index = 1}}});
  EXPECT_EQ(delta.choice(), 1);
  ASSERT_EQ(delta.parts_size(), 7);
  EXPECT_EQ(delta.parts(0).reasoning(), "hm");
  EXPECT_EQ(delta.parts(1).content(), "well");
  EXPECT_EQ(delta.parts(2).tool_call_begin().name(), "f");
  EXPECT_EQ(delta.parts(2).tool_call_begin().id(), "call_stem_1_0");
  EXPECT_EQ(delta.parts(3).tool_call_arguments().text(), "{}");
  EXPECT_TRUE(delta.parts(4).tool_call_end().complete());
  EXPECT_EQ(delta.parts(5).tool_call_begin().index(), 1);
  EXPECT_EQ(delta.parts(5).tool_call_begin().id(), "call_stem_1_1");
  EXPECT_EQ(delta.parts(6).tool_call_end().index(), 1);
  EXPECT_FALSE(delta.parts(6).tool_call_end().complete());
  EXPECT_EQ(delta.finish_reason(), v1::FINISH_REASON_UNSPECIFIED);
}

TEST(UpdateWriterTest, AChoiceThatCalledToolsSaysSo) {
  UpdateWriter writer(3, "stem");
  Written(writer, {.choice = 0, .parts = {{Kind::kToolCallEnd, "", 0}}});
  Written(writer, {.choice = 1, .parts = {{Kind::kToolCallCutOff, "", 0}}});
  EXPECT_EQ(Written(writer, {.choice = 0, .finish = FinishReason::kStop}).finish_reason(),
            v1::FINISH_REASON_TOOL_CALLS);
  EXPECT_EQ(Written(writer, {.choice = 1, .finish = FinishReason::kStop}).finish_reason(),
            v1::FINISH_REASON_STOP);
  EXPECT_EQ(Written(writer, {.choice = 0, .finish = FinishReason::kLength}).finish_reason(),
            v1::FINISH_REASON_LENGTH);
  EXPECT_EQ(Written(writer, {.choice = 2, .finish = FinishReason::kFailed}).finish_reason(),
            v1::FINISH_REASON_UNSPECIFIED);
}

TEST(UpdateWriterTest, WritesLogprobsWithBytesThatAreNoText) {
  UpdateWriter writer(1, "stem");
  const v1::ChoiceDelta delta =
      Written(writer,
              {.choice = 0,
               .logprobs = {{.chosen = {.token = 7, .bytes = "\xc3", .logprob = -1},
                             .top = {{.token = 7, .bytes = "\xc3", .logprob = -1},
                                     {.token = 8, .bytes = "x", .logprob = -2}}}}});
  ASSERT_EQ(delta.logprobs_size(), 1);
  EXPECT_EQ(delta.logprobs(0).chosen().token(), 7);
  EXPECT_EQ(delta.logprobs(0).chosen().text(), "\xc3");
  ASSERT_EQ(delta.logprobs(0).top_size(), 2);
  EXPECT_EQ(delta.logprobs(0).top(1).token(), 8);
  EXPECT_EQ(delta.logprobs(0).top(1).logprob(), -2);
}

TEST(UpdateWriterTest, WritesUsage) {
  v1::AnswerUpdate update;
  Usage usage = {.prompt_tokens = 1,
                 .completion_tokens = 2,
                 .reasoning_tokens = 3,
                 .drafted_tokens = 1,
                 .cache = {}};
  usage.cache.cached_tokens = 4;
  UpdateWriter::SetUsage(usage, update);
  EXPECT_EQ(update.usage().prompt_tokens(), 1);
  EXPECT_EQ(update.usage().completion_tokens(), 2);
  EXPECT_EQ(update.usage().reasoning_tokens(), 3);
  EXPECT_EQ(update.usage().drafted_tokens(), 1);
  EXPECT_EQ(update.usage().cached_tokens(), 4);
}

}  // namespace
}  // namespace hadal
