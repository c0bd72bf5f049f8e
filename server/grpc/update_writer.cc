#include "server/grpc/update_writer.h"

#include <utility>

#include <absl/strings/str_format.h>

#include "proto/hadal/v1/inference.pb.h"

namespace hadal {
namespace {

void FillTokenLogprob(TokenText text, v1::TokenLogprob& message) {
  message.set_token(text.token);
  message.set_text(std::move(text.bytes));
  message.set_logprob(text.logprob);
}

// Other ends are statuses of the call.
v1::FinishReason FinishReasonOf(FinishReason reason, int64_t num_calls) {
  if (reason == FinishReason::kLength) {
    return v1::FINISH_REASON_LENGTH;
  }
  if (reason != FinishReason::kStop) {
    return v1::FINISH_REASON_UNSPECIFIED;
  }
  return num_calls > 0 ? v1::FINISH_REASON_TOOL_CALLS : v1::FINISH_REASON_STOP;
}

}  // namespace

void UpdateWriter::Append(ChoiceDelta delta, v1::AnswerUpdate& update) {
  v1::ChoiceDelta& message = *update.add_deltas();
  message.set_choice(delta.choice);
  for (AnswerDelta& part : delta.parts) {
    AppendPart(std::move(part), delta.choice, message);
  }
  for (ContentLogprob& logprob : delta.logprobs) {
    v1::ContentLogprob& content = *message.add_logprobs();
    FillTokenLogprob(std::move(logprob.chosen), *content.mutable_chosen());
    for (TokenText& top : logprob.top) {
      FillTokenLogprob(std::move(top), *content.add_top());
    }
  }
  if (delta.finish.has_value()) {
    message.set_finish_reason(
        FinishReasonOf(*delta.finish, num_calls_[static_cast<size_t>(delta.choice)]));
  }
}

void UpdateWriter::AppendPart(AnswerDelta part, int32_t choice, v1::ChoiceDelta& message) {
  using Kind = AnswerDelta::Kind;
  v1::AnswerPart& added = *message.add_parts();
  switch (part.kind) {
    case Kind::kReasoning:
      added.set_reasoning(std::move(part.text));
      return;
    case Kind::kContent:
      added.set_content(std::move(part.text));
      return;
    case Kind::kToolCall: {
      v1::ToolCallBegin& begin = *added.mutable_tool_call_begin();
      begin.set_index(part.call_index);
      begin.set_id(absl::StrFormat("call_%s_%d_%d", call_stem_, choice, part.call_index));
      begin.set_name(std::move(part.text));
      return;
    }
    case Kind::kArguments:
      added.mutable_tool_call_arguments()->set_index(part.call_index);
      added.mutable_tool_call_arguments()->set_text(std::move(part.text));
      return;
    case Kind::kToolCallEnd:
    case Kind::kToolCallCutOff: {
      const bool complete = part.kind == Kind::kToolCallEnd;
      added.mutable_tool_call_end()->set_index(part.call_index);
      added.mutable_tool_call_end()->set_complete(complete);
      num_calls_[static_cast<size_t>(choice)] += complete ? 1 : 0;
      return;
    }
  }
}

void UpdateWriter::SetUsage(const Usage& usage, v1::AnswerUpdate& update) {
  v1::Usage& message = *update.mutable_usage();
  message.set_prompt_tokens(usage.prompt_tokens);
  message.set_cached_tokens(usage.cache.cached_tokens);
  message.set_completion_tokens(usage.completion_tokens);
  message.set_reasoning_tokens(usage.reasoning_tokens);
  message.set_drafted_tokens(usage.drafted_tokens);
}

}  // namespace hadal
