#pragma once

// What a chat model answers, as the rest of Hadal sees it: no tokens, no API version.

#include <cstdint>
#include <string>
#include <vector>

namespace hadal {

/// The next part of an answer while it is generated. `text` is valid UTF-8.
struct AnswerDelta {
  enum class Kind {
    kReasoning,       // more of the reasoning
    kContent,         // more of the content
    kToolCall,        // a tool call begins; `text` is its whole name
    kArguments,       // more of the arguments of the latest call
    kToolCallEnd,     // the latest call is complete
    kToolCallCutOff,  // the latest call ends as far as it came: its end token is missing
  };

  Kind kind;
  std::string text;
  int32_t call_index = -1;  // of all kinds that speak of a call: which one, from 0; else -1

  bool operator==(const AnswerDelta&) const = default;
};

/// A function call of an answer. When it is not complete, name and arguments may be cut off.
struct AnswerCall {
  std::string name;
  std::string arguments;  // as the model wrote them: meant as JSON, but nobody looked
  bool complete = false;

  bool operator==(const AnswerCall&) const = default;
};

/// A whole answer: all its deltas, put together.
struct Answer {
  std::string reasoning_content;
  std::string content;
  std::vector<AnswerCall> tool_calls;

  bool operator==(const Answer&) const = default;
};

/// Adds `delta` to the end of `answer`. REQUIRES: deltas come in the order in which AnswerParser
/// gave them.
void AppendDelta(const AnswerDelta& delta, Answer& answer);

}  // namespace hadal
