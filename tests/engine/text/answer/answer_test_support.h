#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <boost/json/serialize.hpp>

#include "base/check.h"
#include "base/utf8.h"
#include "engine/text/answer/answer_parser.h"
#include "engine/text/chat/prompt_tokens.h"
#include "tests/engine/text/small_tokenizer.h"

namespace hadal {

inline constexpr std::string_view kStructureNames[] = {kThinkBegin,
                                                       kThinkEnd,
                                                       kToolCallsBegin,
                                                       kToolCallsEnd,
                                                       kToolCallBeginToken,
                                                       kToolCallEndToken,
                                                       kToolSeparator};

/// A token for each byte, then the two of sentences (special), then those of structure, at 258.
inline Tokenizer StructureTokenizer() {
  std::vector<std::string> added = {std::string(kBeginOfSentence), std::string(kEndOfSentence)};
  added.insert(added.end(), std::begin(kStructureNames), std::end(kStructureNames));
  return *Tokenizer::FromJson(boost::json::serialize(SmallTokenizerJson({}, added)));
}

/// What `parser` makes of `ids`. Each delta is held against the promises of its header.
inline Answer Parse(AnswerParser parser, std::span<const TokenId> ids) {
  using Kind = AnswerDelta::Kind;
  std::vector<AnswerDelta> deltas;
  for (const TokenId id : ids) {
    parser.Push(id, deltas);
  }
  parser.Finish(deltas);
  Answer answer;
  bool is_call_open = false;
  for (const AnswerDelta& delta : deltas) {
    CHECK_EQ(ValidUtf8Prefix(delta.text), delta.text.size());
    const bool is_text = delta.kind == Kind::kReasoning || delta.kind == Kind::kContent;
    const bool is_end = delta.kind == Kind::kToolCallEnd || delta.kind == Kind::kToolCallCutOff;
    CHECK_EQ(is_call_open, !is_text && delta.kind != Kind::kToolCall);
    CHECK(delta.kind == Kind::kToolCall || is_end == delta.text.empty());
    AppendDelta(delta, answer);
    is_call_open = !is_text && !is_end;
    CHECK_EQ(delta.call_index, is_text ? -1 : static_cast<int64_t>(answer.tool_calls.size()) - 1);
  }
  CHECK(!is_call_open);
  return answer;
}

}  // namespace hadal
