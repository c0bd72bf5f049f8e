#include "base/json_fields.h"
#include "server/openai/chat_request.h"
#include "server/openai/generation_fields.h"
#include "server/openai/request_fields.h"
#include "server/openai/requests.h"

namespace hadal {
namespace {

// Chat formats say themselves where special tokens stand.
absl::Status ReadChat(const JsonFields& body, const GenerationLimits& limits, TokenizeCall& call) {
  if (body.Find("prompt") != nullptr) {
    return InvalidArgument("prompt: not beside messages");
  }
  ASSIGN_OR_RETURN(call.add_special_tokens, body.BoolOr("add_special_tokens", false));
  if (call.add_special_tokens) {
    return Unimplemented("add_special_tokens: only false is supported beside messages");
  }
  ASSIGN_OR_RETURN(call.chat, ReadChatFields(body, limits));
  return absl::OkStatus();
}

absl::Status ReadText(const JsonFields& body, TokenizeCall& call) {
  for (const std::string_view key :
       {"tools", "tool_choice", "thinking", "reasoning_effort", "chat_template_kwargs"}) {
    if (body.Find(key) != nullptr) {
      return InvalidArgument("%s: only beside messages", key);
    }
  }
  ASSIGN_OR_RETURN(call.add_special_tokens, body.BoolOr("add_special_tokens", true));
  ASSIGN_OR_RETURN(call.text, body.String("prompt"));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TokenizeCall> ReadTokenizeCall(const boost::json::value& body,
                                              const GenerationLimits& limits) {
  TokenizeCall call;
  ASSIGN_OR_RETURN(const JsonFields fields, JsonFields::Of(body, "", "request body"));
  RETURN_IF_ERROR(CheckFields(Endpoint::kTokenize, fields, limits));
  ASSIGN_OR_RETURN(call.model, ReadModel(fields, limits));
  ASSIGN_OR_RETURN(call.return_token_strs, fields.BoolOr("return_token_strs", false));
  if (fields.Find("messages") != nullptr) {
    RETURN_IF_ERROR(ReadChat(fields, limits, call));
  } else {
    RETURN_IF_ERROR(ReadText(fields, call));
  }
  return call;
}

absl::StatusOr<DetokenizeCall> ReadDetokenizeCall(const boost::json::value& body,
                                                  const GenerationLimits& limits) {
  DetokenizeCall call;
  ASSIGN_OR_RETURN(const JsonFields fields, JsonFields::Of(body, "", "request body"));
  RETURN_IF_ERROR(CheckFields(Endpoint::kDetokenize, fields, limits));
  ASSIGN_OR_RETURN(call.model, ReadModel(fields, limits));
  ASSIGN_OR_RETURN(const boost::json::array* const tokens, fields.Array("tokens"));
  ASSIGN_OR_RETURN(call.tokens, ReadTokenIds(*tokens, "tokens"));
  return call;
}

}  // namespace hadal
