// Chunks are written into the string that they are appended to, and nowhere else.

#include <gtest/gtest.h>

#include "server/openai/responses.h"
#include "tests/server/openai/openai_test_support.h"
#include "tests/support/allocation_counter.h"

namespace hadal {
namespace {

constexpr int32_t kNumTokens = 100;
constexpr size_t kRoom = size_t{1} << 20U;

// The allocations that `delta` makes, after the first time, where the string has room.
template <typename Writer>
int64_t AllocationsOf(Writer& writer, const ChoiceDelta& delta) {
  std::string events;
  events.reserve(kRoom);
  writer.Append(delta, events);
  const int64_t before = NumAllocations();
  for (int32_t i = 0; i < kNumTokens; ++i) {
    writer.Append(delta, events);
  }
  EXPECT_LE(events.size(), kRoom);
  return NumAllocations() - before;
}

ContentLogprob TestLogprob() {
  const TokenText token = {.token = 1, .bytes = " the", .logprob = -0.5F};
  const TokenText other = {.token = 2, .bytes = " a text that is not short", .logprob = -1.5F};
  return {.chosen = token, .top = {token, other}};
}

TEST(ChunkAllocationTest, TheCounterCounts) {
  const int64_t before = NumAllocations();
  const std::string text(100, 'x');
  EXPECT_EQ(NumAllocations() - before, 1) << text;
}

TEST(ChunkAllocationTest, OfChats) {
  const std::vector<ChoiceDelta> deltas = {
      Delta(0, {Content("text with a \"quote\"")}),
      Delta(0, {Reasoning("text\n")}),
      Delta(0, {ToolCallBegin(0, "get_weather"), Arguments(0, "{}"), ToolCallEnd(0)}),
      Beside({TestLogprob()}, Delta(0, {Content(" the")}))};
  const Delivery delivery = {.stream = true, .include_usage = true, .include_obfuscation = true};
  for (const ChoiceDelta& delta : deltas) {
    ChatChunkWriter writer(TestHead(), delivery, /*with_logprobs=*/true);
    EXPECT_EQ(AllocationsOf(writer, delta), 0);
  }
}

TEST(ChunkAllocationTest, OfTexts) {
  CompletionChunkWriter writer(TestHead(), {.stream = true}, /*with_logprobs=*/true);
  EXPECT_EQ(AllocationsOf(writer, Beside({TestLogprob()}, Delta(0, {Content(" the")}))), 0);
}

}  // namespace
}  // namespace hadal
