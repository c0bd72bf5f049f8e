#include <utility>

#include "base/json_fields.h"
#include "server/openai/generation_fields.h"
#include "server/openai/request_fields.h"
#include "server/openai/requests.h"

namespace hadal {
namespace {

using boost::json::array;
using boost::json::value;
using Prompt = CompletionCall::Prompt;

constexpr int64_t kDefaultMaxTokens = 16;  // as the API has it
constexpr std::string_view kPromptKinds = "a string, token ids, or a list of either";

absl::StatusOr<Prompt> ReadTokenPrompt(const array& list, std::string_view path) {
  if (list.empty()) {
    return InvalidArgument("%s: empty", path);
  }
  ASSIGN_OR_RETURN(std::vector<TokenId> tokens, ReadTokenIds(list, path));
  return Prompt(std::move(tokens));
}

// One of a list of prompts.
absl::StatusOr<Prompt> ReadPrompt(const value& prompt, std::string_view path) {
  if (const array* const tokens = prompt.if_array()) {
    return ReadTokenPrompt(*tokens, path);
  }
  if (!prompt.is_string()) {
    return InvalidArgument(
        "%s: expected a string or a list of token ids, found %s", path, DescribeJson(prompt));
  }
  ASSIGN_OR_RETURN(const std::string_view text, ReadString(prompt, path));
  return Prompt(std::string(text));
}

absl::StatusOr<std::vector<Prompt>> ReadPrompts(const JsonFields& body,
                                                const GenerationLimits& limits) {
  std::vector<Prompt> prompts;
  const value* const prompt = body.Find("prompt");
  if (prompt == nullptr || !(prompt->is_string() || prompt->is_array())) {
    return body.Unexpected("prompt", kPromptKinds);
  }
  if (prompt->is_string()) {
    ASSIGN_OR_RETURN(const std::string_view text, body.String("prompt"));
    prompts.emplace_back(std::string(text));
    return prompts;
  }
  const array& list = prompt->get_array();
  if (list.empty() || list[0].is_number()) {  // tokens of one prompt
    ASSIGN_OR_RETURN(Prompt tokens, ReadTokenPrompt(list, "prompt"));
    prompts.push_back(std::move(tokens));
    return prompts;
  }
  RETURN_IF_ERROR(CheckAtMost("prompt", limits.max_prompts, "prompts", list.size()));
  for (size_t i = 0; i < list.size(); ++i) {
    ASSIGN_OR_RETURN(Prompt item, ReadPrompt(list[i], PathOfItem("prompt", i)));
    prompts.push_back(std::move(item));
  }
  return prompts;
}

absl::Status ReadLogprobs(const JsonFields& body,
                          const GenerationLimits& limits,
                          CompletionCall& call) {
  if (body.Find("logprobs") == nullptr) {
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const int64_t logprobs, body.Int("logprobs", {0, limits.max_logprobs}));
  if (call.echo) {  // it would ask for those of the prompt
    return Unimplemented("logprobs: not supported beside echo");
  }
  call.params.sampling.num_logprobs = static_cast<int32_t>(logprobs);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<CompletionCall> ReadCompletionCall(const value& body,
                                                  const GenerationLimits& limits) {
  CompletionCall call;
  ASSIGN_OR_RETURN(const JsonFields fields, JsonFields::Of(body, "", "request body"));
  RETURN_IF_ERROR(CheckFields(Endpoint::kCompletion, fields, limits));
  ASSIGN_OR_RETURN(call.model, ReadModel(fields, limits));
  ASSIGN_OR_RETURN(call.params, ReadGenerationParams(fields, limits));
  ASSIGN_OR_RETURN(call.params.max_tokens,
                   fields.IntOr("max_tokens", kTokenCounts, kDefaultMaxTokens));
  RETURN_IF_ERROR(CheckTokenCounts(call.params));
  ASSIGN_OR_RETURN(call.echo, fields.BoolOr("echo", false));
  RETURN_IF_ERROR(ReadLogprobs(fields, limits, call));
  if (fields.Find("suffix") != nullptr) {
    ASSIGN_OR_RETURN(const std::string_view suffix, fields.String("suffix"));
    call.suffix = suffix;
  }
  ASSIGN_OR_RETURN(call.delivery, ReadDelivery(fields));
  ASSIGN_OR_RETURN(call.prompts, ReadPrompts(fields, limits));
  return call;
}

}  // namespace hadal
