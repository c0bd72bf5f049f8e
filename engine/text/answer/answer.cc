#include "engine/text/answer/answer.h"

#include "base/check.h"

namespace hadal {

void AppendDelta(const AnswerDelta& delta, Answer& answer) {
  if (delta.kind == AnswerDelta::Kind::kReasoning) {
    answer.reasoning_content.append(delta.text);
    return;
  }
  if (delta.kind == AnswerDelta::Kind::kContent) {
    answer.content.append(delta.text);
    return;
  }
  if (delta.kind == AnswerDelta::Kind::kToolCall) {
    answer.tool_calls.push_back({.name = delta.text, .arguments = "", .complete = false});
  }
  CHECK_EQ(delta.call_index + int64_t{1}, static_cast<int64_t>(answer.tool_calls.size()));
  AnswerCall& call = answer.tool_calls.back();
  if (delta.kind == AnswerDelta::Kind::kArguments) {
    call.arguments.append(delta.text);
  }
  call.complete = delta.kind == AnswerDelta::Kind::kToolCallEnd;
}

}  // namespace hadal
