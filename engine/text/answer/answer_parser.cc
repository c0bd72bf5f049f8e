#include "engine/text/answer/answer_parser.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "engine/text/chat/prompt_tokens.h"

namespace hadal {
namespace {

using Kind = AnswerDelta::Kind;

constexpr std::string_view kBlanks = " \t\r\n";
constexpr std::string_view kCallType = "function";

bool IsBlank(std::string_view text) {
  return text.find_first_not_of(kBlanks) == std::string_view::npos;
}

std::string_view Trim(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
  return text.substr(0, text.find_last_not_of(kBlanks) + 1);
}

void Emit(Kind kind, std::string_view text, std::vector<AnswerDelta>& deltas) {
  if (!text.empty()) {
    deltas.push_back({.kind = kind, .text = std::string(text)});
  }
}

bool HasReasoning(ChatFormat format) {
  return format == ChatFormat::kR1 || format == ChatFormat::kV31;
}

}  // namespace

AnswerParser::AnswerParser(const Tokenizer& tokenizer, ChatFormat format, PromptState state)
    : decoder_(tokenizer, SpecialTokens::kHide),
      format_(format),
      state_(state == PromptState::kReasoning ? State::kReasoning : State::kContent),
      is_at_start_(state == PromptState::kContent) {
  CHECK(state == PromptState::kContent || HasReasoning(format));
  if (HasReasoning(format)) {
    markers_[kMarkThinkBegin] = tokenizer.FindAddedToken(kThinkBegin);
    markers_[kMarkThinkEnd] = tokenizer.FindAddedToken(kThinkEnd);
  }
  if (format != ChatFormat::kV2) {
    markers_[kMarkCallsBegin] = tokenizer.FindAddedToken(kToolCallsBegin);
    markers_[kMarkCallsEnd] = tokenizer.FindAddedToken(kToolCallsEnd);
    markers_[kMarkCallBegin] = tokenizer.FindAddedToken(kToolCallBeginToken);
    markers_[kMarkCallEnd] = tokenizer.FindAddedToken(kToolCallEndToken);
    markers_[kMarkSeparator] = tokenizer.FindAddedToken(kToolSeparator);
  }
}

AnswerParser::Part AnswerParser::part() const {
  switch (state_) {
    case State::kReasoning:
      return Part::kReasoning;
    case State::kContent:
      return Part::kContent;
    case State::kCallHead:
    case State::kCallName:
    case State::kArguments:
      return Part::kToolCall;
  }
  return Part::kContent;
}

int64_t AnswerParser::num_held_bytes() const {
  int64_t num_dropped = 0;
  if (state_ == State::kContent) {
    const size_t num_breaks = std::min(held_.find_first_not_of('\n'), held_.size());
    num_dropped = std::min(static_cast<int64_t>(num_breaks), int64_t{num_skippable_});
  }
  return std::ssize(held_) - num_dropped + decoder_.num_pending_bytes();
}

void AnswerParser::Push(TokenId id, std::vector<AnswerDelta>& deltas) {
  const std::optional<Marker> marker = MarkerOf(id);
  if (marker.has_value()) {
    // A character that is not whole by now never will be.
    AddText(decoder_.Finish(), deltas);
    if (IsInPlace(*marker)) {
      Leave(*marker, deltas);
      Enter(*marker);
      return;
    }
  }
  AddText(decoder_.Push(id), deltas);
}

void AnswerParser::Finish(std::vector<AnswerDelta>& deltas) {
  AddText(decoder_.Finish(), deltas);
  switch (state_) {
    case State::kReasoning:
      Emit(Kind::kReasoning, held_, deltas);
      break;
    case State::kContent:
      // Beside structure blanks are dropped; an answer of nothing else keeps them.
      Emit(Kind::kContent, is_at_start_ ? held_ : "", deltas);
      break;
    case State::kCallHead:
      if (HasFencedCalls()) {
        EndHead(deltas);
      } else {
        EndCall(Kind::kToolCallCutOff, deltas);
      }
      break;
    case State::kCallName:
    case State::kArguments:
      EndCall(Kind::kToolCallCutOff, deltas);
      break;
  }
  held_.clear();
}

std::optional<AnswerParser::Marker> AnswerParser::MarkerOf(TokenId id) const {
  const auto* found = std::find(markers_.begin(), markers_.end(), id);
  if (found == markers_.end()) {
    return std::nullopt;
  }
  return static_cast<Marker>(found - markers_.begin());
}

// Whether `marker` means something where it stands; else it is text.
bool AnswerParser::IsInPlace(Marker marker) const {
  switch (marker) {
    case kMarkThinkBegin:
      return is_at_start_;
    case kMarkThinkEnd:
      return state_ == State::kReasoning;
    case kMarkCallsBegin:
    case kMarkCallBegin:
      return true;
    case kMarkCallsEnd:
      return is_in_block_;
    case kMarkCallEnd:
      return state_ != State::kReasoning && state_ != State::kContent;
    case kMarkSeparator:
      return state_ == State::kCallHead;
    case kNumMarkers:
      break;
  }
  return false;
}

bool AnswerParser::HasFencedCalls() const {
  return format_ != ChatFormat::kV31;
}

// Ends what `marker`, which is in place, ends.
void AnswerParser::Leave(Marker marker, std::vector<AnswerDelta>& deltas) {
  switch (state_) {
    case State::kReasoning:
      Emit(Kind::kReasoning, marker == kMarkThinkEnd ? "" : held_, deltas);
      break;
    case State::kContent:
      break;  // what is held is blank
    case State::kCallHead:
      if (marker == kMarkSeparator && !HasFencedCalls()) {
        BeginCall(deltas);
      } else {
        EndHead(deltas);
      }
      break;
    case State::kCallName:
    case State::kArguments:
      EndCall(marker == kMarkCallEnd ? Kind::kToolCallEnd : Kind::kToolCallCutOff, deltas);
      break;
  }
  held_.clear();
  is_at_start_ = false;
}

// Begins what `marker` begins.
void AnswerParser::Enter(Marker marker) {
  const bool is_r1 = format_ == ChatFormat::kR1;
  num_skippable_ = 0;
  switch (marker) {
    case kMarkThinkBegin:
      state_ = State::kReasoning;
      num_skippable_ = is_r1 ? 1 : 0;
      return;
    case kMarkCallBegin:
      state_ = State::kCallHead;
      is_in_block_ = true;
      return;
    case kMarkSeparator:
      state_ = HasFencedCalls() ? State::kCallName : State::kArguments;
      return;
    case kMarkThinkEnd:
      num_skippable_ = is_r1 ? 2 : 0;
      break;
    case kMarkCallsBegin:
      is_in_block_ = true;
      break;
    case kMarkCallsEnd:
      is_in_block_ = false;
      break;
    case kMarkCallEnd:
    case kNumMarkers:
      break;
  }
  state_ = State::kContent;
  is_run_blank_ = true;
}

// The head of a call that is no name: the type of a fenced call, or all of one without a separator.
void AnswerParser::EndHead(std::vector<AnswerDelta>& deltas) {
  const std::string head = std::exchange(held_, {});
  if (!HasFencedCalls() || !kCallType.starts_with(Trim(head))) {
    is_run_blank_ = true;
    AddContent(head, deltas);
  }
}

void AnswerParser::AddText(std::string_view text, std::vector<AnswerDelta>& deltas) {
  if (text.empty()) {
    return;
  }
  switch (state_) {
    case State::kReasoning:
      AddReasoning(text, deltas);
      break;
    case State::kContent:
      AddContent(text, deltas);
      break;
    case State::kCallHead:
      held_.append(text);
      break;
    case State::kCallName:
      AddName(text, deltas);
      break;
    case State::kArguments:
      AddArguments(text, deltas);
      break;
  }
}

// kR1: a line break at the end is held back.
void AnswerParser::AddReasoning(std::string_view text, std::vector<AnswerDelta>& deltas) {
  if (std::exchange(num_skippable_, 0) > 0 && text.front() == '\n') {
    text.remove_prefix(1);
  }
  if (text.empty()) {
    return;
  }
  std::string reasoning = std::exchange(held_, {});
  reasoning.append(text);
  if (format_ == ChatFormat::kR1 && reasoning.back() == '\n') {
    reasoning.pop_back();
    held_.push_back('\n');
  }
  Emit(Kind::kReasoning, reasoning, deltas);
}

// Blanks are held back until something else comes.
void AnswerParser::AddContent(std::string_view text, std::vector<AnswerDelta>& deltas) {
  if (!is_run_blank_) {
    Emit(Kind::kContent, text, deltas);
    return;
  }
  held_.append(text);
  if (IsBlank(text)) {
    return;
  }
  std::string_view run = held_;
  for (; num_skippable_ > 0 && run.front() == '\n'; --num_skippable_) {
    run.remove_prefix(1);
  }
  Emit(Kind::kContent, run, deltas);
  held_.clear();
  num_skippable_ = 0;
  is_run_blank_ = false;
  is_at_start_ = false;
}

// A name is held back until it ends: at a line break, or at a fence that stands too early.
void AnswerParser::AddName(std::string_view text, std::vector<AnswerDelta>& deltas) {
  if (held_.empty()) {
    text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
  }
  const size_t end = text.find_first_of("\n`");
  held_.append(text.substr(0, end));
  if (end != std::string_view::npos) {
    BeginCall(deltas);
    AddArguments(text.substr(end), deltas);
  }
}

void AnswerParser::AddArguments(std::string_view text, std::vector<AnswerDelta>& deltas) {
  const std::string arguments = HasFencedCalls() ? fence_.Push(text) : std::string(text);
  if (!arguments.empty()) {
    deltas.push_back({Kind::kArguments, arguments, num_calls_ - 1});
  }
}

// Begins the call that is named by what is held.
void AnswerParser::BeginCall(std::vector<AnswerDelta>& deltas) {
  deltas.push_back({Kind::kToolCall, std::string(Trim(held_)), num_calls_});
  ++num_calls_;
  held_.clear();
  state_ = State::kArguments;
}

void AnswerParser::EndCall(AnswerDelta::Kind kind, std::vector<AnswerDelta>& deltas) {
  if (state_ != State::kArguments) {
    if (IsBlank(held_)) {
      return;  // nothing of it came
    }
    BeginCall(deltas);
  }
  const std::string arguments = fence_.Finish();
  if (!arguments.empty()) {
    deltas.push_back({Kind::kArguments, arguments, num_calls_ - 1});
  }
  deltas.push_back({kind, "", num_calls_ - 1});
}

}  // namespace hadal
