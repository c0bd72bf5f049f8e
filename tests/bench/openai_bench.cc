// What the text of one token costs between the generation and the socket, and a body before it.

#include <benchmark/benchmark.h>

#include "base/check.h"
#include "base/json.h"
#include "server/openai/requests.h"
#include "server/openai/responses.h"

namespace hadal {
namespace {

AnswerHead BenchHead() {
  return {.id = "chatcmpl-0123456789abcdef0123456789abcdef",
          .created = 1700000000,
          .model = "deepseek-ai/DeepSeek-V3.1",
          .system_fingerprint = "fp_0123456789"};
}

ChoiceDelta TokenDelta(AnswerDelta::Kind kind) {
  ChoiceDelta delta;
  delta.parts.push_back({.kind = kind, .text = " token", .call_index = 0});
  return delta;
}

ContentLogprob Logprobs(int32_t num_top) {
  const TokenText token = {.token = 1, .bytes = " token", .logprob = -0.1234567F};
  return {.chosen = token, .top = std::vector<TokenText>(static_cast<size_t>(num_top), token)};
}

// Events are appended to a string that is emptied when it is sent.
template <typename Writer>
void AppendTokens(benchmark::State& state, Writer& writer, const ChoiceDelta& delta) {
  constexpr size_t kSendBytes = 65536;
  std::string events;
  for (auto _ : state) {
    writer.Append(delta, events);
    if (events.size() > kSendBytes) {
      benchmark::DoNotOptimize(events.data());
      events.clear();
    }
  }
}

void BM_ChatContentChunk(benchmark::State& state) {
  ChatChunkWriter writer(BenchHead(), {.stream = true}, /*with_logprobs=*/false);
  AppendTokens(state, writer, TokenDelta(AnswerDelta::Kind::kContent));
}
BENCHMARK(BM_ChatContentChunk);

void BM_ChatArgumentsChunk(benchmark::State& state) {
  ChatChunkWriter writer(BenchHead(), {.stream = true}, /*with_logprobs=*/false);
  AppendTokens(state, writer, TokenDelta(AnswerDelta::Kind::kArguments));
}
BENCHMARK(BM_ChatArgumentsChunk);

void BM_ChatObfuscatedChunk(benchmark::State& state) {
  ChatChunkWriter writer(BenchHead(),
                         {.stream = true, .include_usage = true, .include_obfuscation = true},
                         /*with_logprobs=*/false);
  AppendTokens(state, writer, TokenDelta(AnswerDelta::Kind::kContent));
}
BENCHMARK(BM_ChatObfuscatedChunk);

void BM_ChatLogprobsChunk(benchmark::State& state) {
  ChatChunkWriter writer(BenchHead(), {.stream = true}, /*with_logprobs=*/true);
  ChoiceDelta delta = TokenDelta(AnswerDelta::Kind::kContent);
  delta.logprobs.push_back(Logprobs(static_cast<int32_t>(state.range(0))));
  AppendTokens(state, writer, delta);
}
BENCHMARK(BM_ChatLogprobsChunk)->Arg(0)->Arg(20);

void BM_CompletionChunk(benchmark::State& state) {
  CompletionChunkWriter writer(BenchHead(), {.stream = true}, /*with_logprobs=*/false);
  AppendTokens(state, writer, TokenDelta(AnswerDelta::Kind::kContent));
}
BENCHMARK(BM_CompletionChunk);

void BM_CompletionLogprobsChunk(benchmark::State& state) {
  CompletionChunkWriter writer(BenchHead(), {.stream = true}, /*with_logprobs=*/true);
  ChoiceDelta delta = TokenDelta(AnswerDelta::Kind::kContent);
  delta.logprobs.push_back(Logprobs(static_cast<int32_t>(state.range(0))));
  AppendTokens(state, writer, delta);
}
BENCHMARK(BM_CompletionLogprobsChunk)->Arg(0)->Arg(20);

void BM_ReadChatCall(benchmark::State& state) {
  const auto body = ParseJson(R"({"model": "deepseek-ai/DeepSeek-V3.1", "temperature": 0.6,
      "top_p": 0.95, "max_tokens": 512, "stream": true, "stream_options": {"include_usage": true},
      "seed": 1, "stop": ["###"], "user": "someone", "messages": [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "Why is the sky blue?"}]})");
  CHECK(body.ok());
  for (auto _ : state) {
    benchmark::DoNotOptimize(ReadChatCall(*body, GenerationLimits{}));
  }
}
BENCHMARK(BM_ReadChatCall);

}  // namespace
}  // namespace hadal
