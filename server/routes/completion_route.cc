#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/json.h"
#include "engine/text/stream_decoder.h"
#include "server/openai/requests.h"
#include "server/openai/responses.h"
#include "server/routes/openai_routes.h"
#include "server/routes/request_body.h"

namespace hadal {
namespace {

struct EncodedCompletion {
  CompletionCall call;
  std::vector<Prompt> prompts = {};
  std::vector<std::string> echoes = {};  // of each choice; empty unless asked for
};

absl::StatusOr<Prompt> EncodePrompt(const ServedModel& model,
                                    const CompletionCall& call,
                                    const CompletionCall::Prompt& prompt) {
  if (const auto* ids = std::get_if<std::vector<TokenId>>(&prompt)) {
    if (call.suffix.has_value()) {
      return InvalidArgument("suffix: only a prompt of text can have one");
    }
    return model.TakeIds(*ids);
  }
  const std::string& text = std::get<std::string>(prompt);
  return call.suffix.has_value() ? model.EncodeFill(text, *call.suffix) : model.EncodeText(text);
}

std::string EchoOf(const ServedModel& model, const CompletionCall::Prompt& prompt) {
  if (const auto* ids = std::get_if<std::vector<TokenId>>(&prompt)) {
    return Decode(model.tokenizer(), *ids, SpecialTokens::kHide);
  }
  return std::get<std::string>(prompt);
}

absl::StatusOr<EncodedCompletion> Encode(const OpenAiContext& context, std::string_view body) {
  ASSIGN_OR_RETURN(const boost::json::value json, ParseJson(body));
  ASSIGN_OR_RETURN(CompletionCall call, ReadCompletionCall(json, context.limits));
  RETURN_IF_ERROR(context.model().CheckName(call.model));
  EncodedCompletion encoded = {.call = std::move(call)};
  for (const CompletionCall::Prompt& prompt : encoded.call.prompts) {
    ASSIGN_OR_RETURN(encoded.prompts.emplace_back(),
                     EncodePrompt(context.model(), encoded.call, prompt));
    if (encoded.prompts.back().tokens.empty()) {
      return InvalidArgument("prompt: expected at least one token");
    }
    for (int32_t i = 0; encoded.call.echo && i < encoded.call.params.n; ++i) {
      encoded.echoes.push_back(EchoOf(context.model(), prompt));
    }
  }
  return encoded;
}

// Holds from now on what the prompts really take.
absl::Status Correct(const EncodedCompletion& encoded, Admission::Reservation& reservation) {
  Load load = {.requests = encoded.call.params.n * std::ssize(encoded.prompts)};
  for (const Prompt& prompt : encoded.prompts) {
    load.prompt_tokens += std::ssize(prompt.tokens);
  }
  return reservation.Change(load);
}

}  // namespace

absl::Status AnswerCompletion(const OpenAiContext& context, Call& call) {
  // 1. Let in, read, understood.
  ASSIGN_OR_RETURN(AdmittedBody body,
                   AdmitBody(call, context.admission, 1, context.model().max_tokens()));
  absl::StatusOr<EncodedCompletion> encoded = Internal("the body was not read");
  RunWithText(call, std::ssize(body.text), [&] { encoded = Encode(context, body.text); });
  RETURN_IF_ERROR(encoded.status());
  GenerationParams& params = encoded->call.params;
  RETURN_IF_ERROR(ReadRequestHeaders(call.request(), context.limits, params));
  body.text = {};
  RETURN_IF_ERROR(Correct(*encoded, body.reservation));

  // 2. Generated and sent.
  std::vector<std::unique_ptr<Generation>> generations;
  for (Prompt& prompt : encoded->prompts) {
    Admission::Reservation share =
        body.reservation.Split({.requests = params.n, .prompt_tokens = std::ssize(prompt.tokens)});
    ASSIGN_OR_RETURN(
        generations.emplace_back(),
        context.Start(call, std::move(prompt), params, AnswerKind::kText, std::move(share)));
  }
  AnswerPump pump = context.NewPump(call, std::move(generations), params.n);
  const AnswerHead head = context.NewHead("cmpl-", encoded->call.model);
  const bool with_logprobs = params.sampling.num_logprobs >= 0;
  if (encoded->call.delivery.stream) {
    CompletionChunkWriter writer(head, encoded->call.delivery, with_logprobs);
    const auto begin = [&writer, &encoded](std::string& events) {
      for (size_t i = 0; i < encoded->echoes.size(); ++i) {
        writer.AppendEcho(static_cast<int32_t>(i), encoded->echoes[i], events);
      }
    };
    return pump.Stream(
        {.begin = begin,
         .append = [&writer](const ChoiceDelta& delta,
                             std::string& events) { writer.Append(delta, events); },
         .end = [&writer](const Usage& usage,
                          std::string& events) { writer.AppendEnd(usage, events); }});
  }
  ASSIGN_OR_RETURN(const std::vector<ChoiceDelta> deltas, pump.Collect());
  call.RespondJson(CompletionJson(head, deltas, encoded->echoes, pump.usage(), with_logprobs));
  return absl::OkStatus();
}

}  // namespace hadal
