#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "engine/text/answer/answer_parser.h"
#include "engine/text/stop_matcher.h"
#include "engine/text/stream_decoder.h"
#include "scheduler/token_stream.h"
#include "server/generation/generation_event.h"
#include "server/generation/generation_params.h"
#include "server/generation/served_model.h"
#include "server/operations/server_metrics.h"

namespace hadal {

/// Whether an answer is taken apart into reasoning, content and tool calls, or is plain text.
enum class AnswerKind : int8_t { kChat, kText };

/// One sequence as its reader sees it: tokens become text, text ends before a stop string, tokens
/// of the content keep their log-probabilities. One thread.
///
/// - A token that ends the sequence by its id has no text.
/// - Stop strings are looked for in content alone, behind the first min_tokens tokens.
/// - Log-probabilities are those of tokens whose text became content; each is given out with the
///   first of its text or later, and those of a stop string are not.
class Choice {
 public:
  struct Args {
    const ServedModel& model;  // outlives the choice
    AnswerKind kind;
    PromptState state;               // where the prompt leaves the model
    const GenerationParams& params;  // likewise
  };

  /// InvalidArgument for an empty stop string.
  static absl::StatusOr<Choice> Create(const Args& args);

  /// Takes the next token and appends what it adds to `delta`. True when the choice ends with it
  /// although the sequence does not: a stop string is complete, or the only tool call that was
  /// allowed. REQUIRES: not ended.
  bool Push(const TokenStream::Item& token, ChoiceDelta& delta);

  /// Appends what was held back and the finish reason. REQUIRES: not ended.
  void Finish(FinishReason reason, ChoiceDelta& delta);

  [[nodiscard]] bool ended() const { return ended_; }
  [[nodiscard]] int64_t num_tokens() const { return num_tokens_; }

  /// What the latest token was part of.
  [[nodiscard]] AnswerPhase phase() const { return phase_; }

 private:
  // A token whose text is content, or may become it.
  struct PendingLogprob {
    int64_t begin;  // of its text, in bytes of content
    ContentLogprob logprob;
  };

  Choice(const Args& args, StopMatcher stop_matcher);

  void PushText(TokenId token, std::vector<AnswerDelta>& deltas);
  void FinishText(std::vector<AnswerDelta>& deltas);
  [[nodiscard]] bool IsContent() const;
  [[nodiscard]] int64_t NumHeldBytes() const;
  bool Pass(std::vector<AnswerDelta>& deltas, ChoiceDelta& delta);
  void AddContent(std::string text, ChoiceDelta& delta);
  void Expect(const TokenStream::Item& token);
  void DropSurplus();
  void ReleaseLogprobs(ChoiceDelta& delta);

  const ServedModel* model_;
  const GenerationParams* params_;
  std::optional<AnswerParser> parser_;    // kChat
  std::optional<StreamDecoder> decoder_;  // kText
  StopMatcher stop_matcher_;
  std::vector<TokenId> end_token_ids_;
  std::vector<AnswerDelta> deltas_;  // of one token

  int64_t num_tokens_ = 0;
  AnswerPhase phase_ = AnswerPhase::kContent;
  bool ended_ = false;

  std::deque<PendingLogprob> pending_;
  int64_t num_decoded_bytes_ = 0;  // of content, given out by parser or decoder
  int64_t content_end_ = 0;        // with what they still hold back
  int64_t num_sent_bytes_ = 0;     // given out
};

/// The tokens that end a sequence by their ids, in no order.
std::vector<TokenId> EndTokenIds(const ServedModel& model,
                                 AnswerKind kind,
                                 const GenerationParams& params);

}  // namespace hadal
