#include "server/openai/chunk_frame.h"

#include <random>
#include <set>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/openai/responses.h"
#include "tests/server/openai/openai_test_support.h"

namespace hadal {
namespace {

using testing::ElementsAre;

std::string Stream(const Delivery& delivery) {
  ChatChunkWriter writer(TestHead(), delivery, /*with_logprobs=*/false);
  std::string events;
  writer.Append(Last(0, {Content("x")}, FinishReason::kStop), events);
  writer.AppendEnd(UsageOf(3, 1), events);
  return events;
}

TEST(ChunkFrameTest, WithoutUsageThereIsNoSuchKey) {
  const std::vector<std::string> events = EventsOf(Stream({.stream = true}));
  ASSERT_EQ(events.size(), 4U);
  for (size_t i = 0; i < 3; ++i) {
    const boost::json::value chunk = Json(events[i]);
    EXPECT_FALSE(chunk.as_object().contains("usage"));
    EXPECT_FALSE(chunk.as_object().contains("obfuscation"));
  }
  EXPECT_EQ(events[3], "[DONE]");
}

TEST(ChunkFrameTest, UsageIsNullUntilTheLastChunk) {
  const std::vector<std::string> events = EventsOf(Stream({.stream = true, .include_usage = true}));
  ASSERT_EQ(events.size(), 5U);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_TRUE(Json(events[i]).at("usage").is_null());
    EXPECT_EQ(Json(events[i]).at("choices").as_array().size(), 1U);
  }
  EXPECT_EQ(Json(events[3]), Json(R"({"id": "answer-1", "object": "chat.completion.chunk",
      "created": 1700000000, "model": "m", "system_fingerprint": "fp", "choices": [],
      "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "accepted_prediction_tokens": 0},
        "prompt_cache_hit_tokens": 0,
        "prompt_cache_miss_tokens": 3,
        "prompt_cache_miss": {"reason": "never_seen", "position": 0}}})"));
  EXPECT_EQ(events[4], "[DONE]");
}

TEST(ChunkFrameTest, EveryReasonOfAMissHasAName) {
  const auto reason = [](CacheMiss miss) {
    std::string json;
    Usage usage;
    usage.cache = {.cached_tokens = 0, .miss = miss, .position = 5};
    AppendUsage(usage, json);
    return Json(json).at("prompt_cache_miss");
  };
  EXPECT_EQ(reason(CacheMiss::kNone), Json(R"({"reason": "none", "position": 5})"));
  EXPECT_EQ(reason(CacheMiss::kDiverged), Json(R"({"reason": "diverged", "position": 5})"));
  EXPECT_EQ(reason(CacheMiss::kEvicted), Json(R"({"reason": "evicted", "position": 5})"));
  EXPECT_EQ(reason(CacheMiss::kNeverSeen), Json(R"({"reason": "never_seen", "position": 5})"));
}

TEST(ChunkFrameTest, NoFingerprintIsNull) {
  AnswerHead head = TestHead();
  head.system_fingerprint = "";
  std::string json;
  AppendHead(head, "object", json);
  EXPECT_TRUE(Json(json + "]}").at("system_fingerprint").is_null());
}

TEST(ChunkFrameTest, ObfuscatedEventsHaveFewSizes) {
  constexpr uint32_t kSeed = 11;
  std::mt19937 random(kSeed);
  ChatChunkWriter writer(TestHead(),
                         {.stream = true, .include_usage = true, .include_obfuscation = true},
                         /*with_logprobs=*/false);
  constexpr size_t kBounds[] = {40, 4000, 30000};
  std::set<size_t> sizes;
  std::string content;
  std::string streamed;
  for (int32_t i = 0; i < 300; ++i) {
    const std::string text(random() % kBounds[i % 3], 'x');
    content += text;
    std::string events;
    writer.Append(Delta(0, {Content(text)}), events);
    for (const std::string& event : EventsOf(events)) {
      sizes.insert(event.size() + std::string_view("data: \n\n").size());
      const boost::json::value chunk = Json(event);
      EXPECT_TRUE(chunk.at("obfuscation").is_string());
      streamed += StringOf(chunk.at("choices").at(0).at("delta").at("content"));
    }
  }
  EXPECT_EQ(streamed, content);
  EXPECT_THAT(sizes, ElementsAre(512, 2048, 8192, 32768));
  std::string events;
  writer.AppendEnd(Usage{}, events);
  EXPECT_TRUE(Json(EventsOf(events)[0]).as_object().contains("obfuscation"));
}

TEST(ChunkFrameTest, EventsBeyondTheClassesAreMultiples) {
  ChatChunkWriter writer(TestHead(), {.include_obfuscation = true}, /*with_logprobs=*/false);
  std::string role;
  writer.Append(Delta(0, {Content("")}), role);
  for (const size_t size : {size_t{40000}, size_t{100000}}) {
    std::string events;
    writer.Append(Delta(0, {Content(std::string(size, 'x'))}), events);
    EXPECT_EQ(events.size() % 32768, 0U);
    EXPECT_LT(events.size(), size + 2 * 32768U);
  }
}

// Each length of the text around the border of a class.
TEST(ChunkFrameTest, AnEventThatFitsExactlyHasNoLetters) {
  ChatChunkWriter writer(TestHead(), {.include_obfuscation = true}, /*with_logprobs=*/false);
  std::string role;
  writer.Append(Delta(0, {Content("")}), role);
  bool fitted = false;
  for (size_t size = 200; size < 400; ++size) {
    std::string events;
    writer.Append(Delta(0, {Content(std::string(size, 'x'))}), events);
    ASSERT_TRUE(events.size() == 512 || events.size() == 2048) << events.size();
    fitted = fitted || (Json(EventsOf(events)[0]).at("obfuscation") == "" && events.size() == 512);
  }
  EXPECT_TRUE(fitted);
}

}  // namespace
}  // namespace hadal
