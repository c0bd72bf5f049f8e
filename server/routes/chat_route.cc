#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "server/openai/requests.h"
#include "server/openai/responses.h"
#include "server/routes/openai_routes.h"
#include "server/routes/request_body.h"

namespace hadal {
namespace {

struct EncodedChat {
  ChatCall call;
  Prompt prompt;
};

absl::StatusOr<EncodedChat> Encode(const OpenAiContext& context, std::string_view body) {
  ASSIGN_OR_RETURN(const boost::json::value json, ParseJson(body));
  ASSIGN_OR_RETURN(ChatCall call, ReadChatCall(json, context.limits));
  RETURN_IF_ERROR(context.model().CheckName(call.model));
  ASSIGN_OR_RETURN(Prompt prompt, context.model().EncodeChat(call.chat));
  return EncodedChat{.call = std::move(call), .prompt = std::move(prompt)};
}

}  // namespace

absl::Status AnswerChat(const OpenAiContext& context, Call& call) {
  // 1. Let in, read, understood.
  ASSIGN_OR_RETURN(AdmittedBody body,
                   AdmitBody(call, context.admission, 1, context.model().max_tokens()));
  absl::StatusOr<EncodedChat> encoded = Internal("the body was not read");
  RunWithText(call, std::ssize(body.text), [&] { encoded = Encode(context, body.text); });
  RETURN_IF_ERROR(encoded.status());
  GenerationParams& params = encoded->call.params;
  RETURN_IF_ERROR(ReadRequestHeaders(call.request(), context.limits, params));
  body.text = {};
  RETURN_IF_ERROR(body.reservation.Change(
      {.requests = params.n, .prompt_tokens = std::ssize(encoded->prompt.tokens)}));

  // 2. Generated and sent.
  std::vector<std::unique_ptr<Generation>> generations(1);
  ASSIGN_OR_RETURN(generations.front(),
                   context.Start(call,
                                 std::move(encoded->prompt),
                                 params,
                                 AnswerKind::kChat,
                                 std::move(body.reservation)));
  AnswerPump pump = context.NewPump(call, std::move(generations), params.n);
  const AnswerHead head = context.NewHead("chatcmpl-", encoded->call.model);
  const bool with_logprobs = params.sampling.num_logprobs >= 0;
  if (encoded->call.delivery.stream) {
    ChatChunkWriter writer(head, encoded->call.delivery, with_logprobs);
    return pump.Stream(
        {.begin = nullptr,
         .append = [&writer](const ChoiceDelta& delta,
                             std::string& events) { writer.Append(delta, events); },
         .end = [&writer](const Usage& usage,
                          std::string& events) { writer.AppendEnd(usage, events); }});
  }
  ASSIGN_OR_RETURN(const std::vector<ChoiceDelta> deltas, pump.Collect());
  call.RespondJson(ChatCompletionJson(head, deltas, pump.usage(), with_logprobs));
  return absl::OkStatus();
}

}  // namespace hadal
