#include <charconv>
#include <optional>
#include <string>
#include <utility>

#include "base/json.h"
#include "server/openai/requests.h"
#include "server/openai/responses.h"
#include "server/routes/openai_routes.h"
#include "server/routes/request_body.h"

namespace hadal {
namespace {

// These take memory and time of the server, but none of its engine.
constexpr int64_t kNoRequests = 0;
constexpr int64_t kNoPrompt = 0;

absl::StatusOr<std::string> Tokenize(const OpenAiContext& context, std::string_view body) {
  const ServedModel& model = context.model();
  ASSIGN_OR_RETURN(const boost::json::value json, ParseJson(body));
  ASSIGN_OR_RETURN(const TokenizeCall call, ReadTokenizeCall(json, context.limits));
  RETURN_IF_ERROR(model.CheckName(call.model));
  std::vector<TokenId> tokens;
  if (call.chat.has_value()) {
    ASSIGN_OR_RETURN(Prompt prompt, model.EncodeChat(*call.chat));
    tokens = std::move(prompt.tokens);
  } else if (call.add_special_tokens) {
    ASSIGN_OR_RETURN(Prompt prompt, model.EncodeText(*call.text));
    tokens = std::move(prompt.tokens);
  } else {
    ASSIGN_OR_RETURN(tokens, model.tokenizer().Encode(*call.text));
  }
  if (!call.return_token_strs) {
    return TokenizeJson(tokens, nullptr, model.max_tokens());
  }
  std::vector<std::string> strings;
  strings.reserve(tokens.size());
  for (const TokenId token : tokens) {
    strings.emplace_back(model.tokenizer().Piece(token));
  }
  return TokenizeJson(tokens, &strings, model.max_tokens());
}

absl::StatusOr<std::string> Detokenize(const OpenAiContext& context, std::string_view body) {
  ASSIGN_OR_RETURN(const boost::json::value json, ParseJson(body));
  ASSIGN_OR_RETURN(const DetokenizeCall call, ReadDetokenizeCall(json, context.limits));
  RETURN_IF_ERROR(context.model().CheckName(call.model));
  ASSIGN_OR_RETURN(const std::string text, context.model().DecodeIds(call.tokens));
  return DetokenizeJson(text);
}

// The value of two hexadecimal digits; nothing for other text.
std::optional<char> HexByte(std::string_view digits) {
  int32_t value = 0;
  const char* const end = digits.data() + digits.size();
  const auto [parsed, error] = std::from_chars(digits.data(), end, value, 16);
  if (digits.size() != 2 || error != std::errc() || parsed != end || digits.front() == '-') {
    return std::nullopt;
  }
  return static_cast<char>(value);
}

// A name as it stood before a client escaped it for a path: "%2F" is '/'. What is no escape stays.
std::string Unescape(std::string_view text) {
  std::string name;
  for (size_t i = 0; i < text.size(); ++i) {
    const std::optional<char> byte = text[i] == '%' ? HexByte(text.substr(i + 1, 2)) : std::nullopt;
    name.push_back(byte.value_or(text[i]));
    i += byte.has_value() ? 2 : 0;
  }
  return name;
}

template <typename Work>
absl::Status AnswerText(const OpenAiContext& context, Call& call, Work work) {
  ASSIGN_OR_RETURN(const AdmittedBody body,
                   AdmitBody(call, context.admission, kNoRequests, kNoPrompt));
  absl::StatusOr<std::string> answer = Internal("the body was not read");
  RunWithText(call, std::ssize(body.text), [&] { answer = work(context, body.text); });
  RETURN_IF_ERROR(answer.status());
  call.RespondJson(*std::move(answer));
  return absl::OkStatus();
}

}  // namespace

absl::Status TokenizeText(const OpenAiContext& context, Call& call) {
  return AnswerText(context, call, Tokenize);
}

absl::Status DetokenizeIds(const OpenAiContext& context, Call& call) {
  return AnswerText(context, call, Detokenize);
}

absl::Status ListModels(const OpenAiContext& context, Call& call) {
  call.RespondJson(
      ModelListJson(context.model().names(), context.created, context.model().max_tokens()));
  return absl::OkStatus();
}

absl::Status ShowModel(const OpenAiContext& context, Call& call) {
  const std::string name = Unescape(call.path_rest);
  RETURN_IF_ERROR(context.model().CheckName(name));
  call.RespondJson(ModelJson(name, context.created, context.model().max_tokens()));
  return absl::OkStatus();
}

}  // namespace hadal
