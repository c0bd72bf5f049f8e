#include "server/openai/answer_json.h"

#include "server/openai/json_text.h"

namespace hadal {
namespace {

std::string_view NameOf(CacheMiss miss) {
  switch (miss) {
    case CacheMiss::kNone:
      return "none";
    case CacheMiss::kDiverged:
      return "diverged";
    case CacheMiss::kEvicted:
      return "evicted";
    case CacheMiss::kNeverSeen:
      break;
  }
  return "never_seen";
}

}  // namespace

void AppendHead(const AnswerHead& head, std::string_view object, std::string& json) {
  json.append(R"({"id":)");
  AppendJsonString(head.id, json);
  json.append(R"(,"object":)");
  AppendJsonString(object, json);
  json.append(R"(,"created":)");
  AppendJsonNumber(head.created, json);
  json.append(R"(,"model":)");
  AppendJsonString(head.model, json);
  json.append(R"(,"system_fingerprint":)");
  if (head.system_fingerprint.empty()) {
    json.append("null");
  } else {
    AppendJsonString(head.system_fingerprint, json);
  }
  json.append(R"(,"choices":[)");
}

void AppendUsage(const Usage& usage, std::string& json) {
  const auto append = [&json](std::string_view name, int64_t number) {
    json.append(name);
    AppendJsonNumber(number, json);
  };
  append(R"({"prompt_tokens":)", usage.prompt_tokens);
  append(R"(,"completion_tokens":)", usage.completion_tokens);
  append(R"(,"total_tokens":)", usage.prompt_tokens + usage.completion_tokens);
  append(R"(,"prompt_tokens_details":{"cached_tokens":)", usage.cache.cached_tokens);
  append(R"(},"completion_tokens_details":{"reasoning_tokens":)", usage.reasoning_tokens);
  append(R"(,"accepted_prediction_tokens":)", usage.drafted_tokens);
  append(R"(},"prompt_cache_hit_tokens":)", usage.cache.cached_tokens);
  append(R"(,"prompt_cache_miss_tokens":)", usage.prompt_tokens - usage.cache.cached_tokens);
  json.append(R"(,"prompt_cache_miss":{"reason":)");
  AppendJsonString(NameOf(usage.cache.miss), json);
  append(R"(,"position":)", usage.cache.position);
  json.append("}}");
}

void AppendFinishReason(std::optional<FinishReason> finish, Calls calls, std::string& json) {
  if (!finish) {
    json.append("null");
    return;
  }
  if (*finish != FinishReason::kStop) {
    json.append(R"("length")");
    return;
  }
  json.append(calls == Calls::kMade ? R"("tool_calls")" : R"("stop")");
}

}  // namespace hadal
