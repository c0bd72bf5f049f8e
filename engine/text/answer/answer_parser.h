#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/token_id.h"
#include "engine/text/answer/answer.h"
#include "engine/text/answer/fence_stripper.h"
#include "engine/text/chat/chat_format.h"
#include "engine/text/chat/prompt_encoder.h"
#include "engine/text/stream_decoder.h"
#include "engine/text/tokenizer.h"

namespace hadal {

/// Takes what a chat model generates apart into reasoning, content and tool calls, token by token.
/// It is the inverse of the prompt encoders. One parser for each answer; one thread at a time.
///
///   AnswerParser parser(tokenizer, format, prompt.state);
///   parser.Push(id, deltas);  // for each token
///   parser.Finish(deltas);
///
/// Structure is made by added tokens alone; text that spells their names is text. Each format knows
/// its own: kV2 none, kV3 those of tool calls, kR1 and kV31 these and those of reasoning. A
/// tokenizer that lacks a token never makes its structure. Other tokens become text as in
/// StreamDecoder, which leaves special ones out.
///
/// - Reasoning is on from the beginning as `PromptState` says; `<think>` also begins it when
///   nothing but blanks came before, as R1 does behind tool results. It ends at `</think>`, or
///   where a tool call begins. Without either, all is reasoning.
/// - Line breaks are as prompt_encoder_r1.cc has them: kR1 drops one behind a generated `<think>`,
///   one before `</think>`, and up to two behind it. The template of kV31 has none; all are kept.
/// - Content is all else. Text beside structure that is blank throughout is dropped.
/// - A call is NAME, separator, arguments in kV31, else "function", separator, NAME up to the line
///   break, arguments in a fence (fence_stripper.h). Blanks around a name are dropped. A call may
///   stand without the tokens around the block of calls.
///
/// What is malformed loses no text but blanks and fences:
/// - A call without a separator, and a type other than "function", become content; a beginning of
///   that word is dropped.
/// - A call that another token of structure or the end of the answer breaks off is delivered as
///   far as it came, then kToolCallCutOff; when nothing of its name came, nothing.
/// - A token of structure that means nothing where it stands is text: its name.
///
/// The deltas, joined, depend on the tokens alone. Linear time; it holds back blanks, names and
/// beginnings of fences, and up to three bytes of a character.
class AnswerParser {
 public:
  /// `tokenizer` must outlive the parser. REQUIRES: `state` is kReasoning only if `format` reasons.
  AnswerParser(const Tokenizer& tokenizer, ChatFormat format, PromptState state);

  /// Appends what `id` adds to the answer.
  void Push(TokenId id, std::vector<AnswerDelta>& deltas);

  /// Appends what is still held back, when no more tokens will come; nothing is pushed afterwards.
  void Finish(std::vector<AnswerDelta>& deltas);

  /// Where text would belong if the next token were text.
  enum class Part : int8_t { kReasoning, kContent, kToolCall };
  [[nodiscard]] Part part() const;

  /// Bytes of tokens that may still become text of part().
  [[nodiscard]] int64_t num_held_bytes() const;

 private:
  enum class State { kReasoning, kContent, kCallHead, kCallName, kArguments };
  enum Marker : uint8_t {
    kMarkThinkBegin,
    kMarkThinkEnd,
    kMarkCallsBegin,
    kMarkCallsEnd,
    kMarkCallBegin,
    kMarkCallEnd,
    kMarkSeparator,
    kNumMarkers
  };

  [[nodiscard]] std::optional<Marker> MarkerOf(TokenId id) const;
  [[nodiscard]] bool IsInPlace(Marker marker) const;
  [[nodiscard]] bool HasFencedCalls() const;
  void Leave(Marker marker, std::vector<AnswerDelta>& deltas);
  void Enter(Marker marker);
  void EndHead(std::vector<AnswerDelta>& deltas);

  void AddText(std::string_view text, std::vector<AnswerDelta>& deltas);
  void AddReasoning(std::string_view text, std::vector<AnswerDelta>& deltas);
  void AddContent(std::string_view text, std::vector<AnswerDelta>& deltas);
  void AddName(std::string_view text, std::vector<AnswerDelta>& deltas);
  void AddArguments(std::string_view text, std::vector<AnswerDelta>& deltas);
  void BeginCall(std::vector<AnswerDelta>& deltas);
  void EndCall(AnswerDelta::Kind kind, std::vector<AnswerDelta>& deltas);

  std::array<std::optional<TokenId>, kNumMarkers> markers_;
  StreamDecoder decoder_;
  FenceStripper fence_;
  ChatFormat format_;
  State state_;
  bool is_at_start_;           // content, no structure and nothing but blanks yet
  bool is_in_block_ = false;   // a block of calls was begun and not ended
  bool is_run_blank_ = true;   // kContent: blanks only since the last structure
  int32_t num_skippable_ = 0;  // line breaks that may be dropped from the text that comes next
  int32_t num_calls_ = 0;      // calls begun
  std::string held_;           // text of state_ not given out yet: see Add…
};

}  // namespace hadal
