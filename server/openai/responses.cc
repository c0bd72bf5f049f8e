#include "server/openai/responses.h"

#include "base/check.h"
#include "base/utf8.h"
#include "server/openai/api_error.h"
#include "server/openai/json_text.h"

namespace hadal {
namespace {

void AppendModel(std::string_view name, int64_t created, int64_t max_tokens, std::string& json) {
  json.append(R"({"id":)");
  AppendJsonString(name, json);
  json.append(R"(,"object":"model","created":)");
  AppendJsonNumber(created, json);
  json.append(R"(,"owned_by":"hadal","max_model_len":)");
  AppendJsonNumber(max_tokens, json);
  json.push_back('}');
}

}  // namespace

std::string ErrorEvent(const absl::Status& status) {
  return "data: " + ToJson(ApiErrorOf(status)) + "\n\n";
}

std::string ModelListJson(std::span<const std::string> names, int64_t created, int64_t max_tokens) {
  std::string json = R"({"object":"list","data":[)";
  for (const std::string& name : names) {
    if (json.back() != '[') {
      json.push_back(',');
    }
    AppendModel(name, created, max_tokens, json);
  }
  json.append("]}");
  return json;
}

std::string ModelJson(std::string_view name, int64_t created, int64_t max_tokens) {
  std::string json;
  AppendModel(name, created, max_tokens, json);
  return json;
}

std::string TokenizeJson(std::span<const TokenId> tokens,
                         const std::vector<std::string>* token_strs,
                         int64_t max_tokens) {
  std::string json = R"({"count":)";
  AppendJsonNumber(static_cast<int64_t>(tokens.size()), json);
  json.append(R"(,"max_model_len":)");
  AppendJsonNumber(max_tokens, json);
  json.append(R"(,"tokens":[)");
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (i > 0) {
      json.push_back(',');
    }
    AppendJsonNumber(int64_t{tokens[i]}, json);
  }
  json.push_back(']');
  if (token_strs != nullptr) {
    CHECK_EQ(token_strs->size(), tokens.size());
    json.append(R"(,"token_strs":[)");
    for (size_t i = 0; i < tokens.size(); ++i) {
      if (i > 0) {
        json.push_back(',');
      }
      AppendJsonString(ReplaceInvalidUtf8((*token_strs)[i]), json);
    }
    json.push_back(']');
  }
  json.push_back('}');
  return json;
}

std::string DetokenizeJson(std::string_view text) {
  std::string json = R"({"prompt":)";
  AppendJsonString(ReplaceInvalidUtf8(text), json);
  json.push_back('}');
  return json;
}

}  // namespace hadal
