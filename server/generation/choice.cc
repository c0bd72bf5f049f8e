#include "server/generation/choice.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace hadal {
namespace {

using Kind = AnswerDelta::Kind;

TokenText TextOf(const Tokenizer& tokenizer, const TokenLogprob& token) {
  return {.token = token.token,
          .bytes = std::string(tokenizer.Piece(token.token)),
          .logprob = token.logprob};
}

AnswerPhase PhaseOf(AnswerParser::Part part) {
  switch (part) {
    case AnswerParser::Part::kReasoning:
      return AnswerPhase::kReasoning;
    case AnswerParser::Part::kContent:
      return AnswerPhase::kContent;
    case AnswerParser::Part::kToolCall:
      return AnswerPhase::kTool;
  }
  return AnswerPhase::kContent;
}

}  // namespace

std::vector<TokenId> EndTokenIds(const ServedModel& model,
                                 AnswerKind kind,
                                 const GenerationParams& params) {
  std::vector<TokenId> ids = params.stop_token_ids;
  if (!params.ignore_eos) {
    const std::vector<TokenId>& ends =
        kind == AnswerKind::kChat ? model.answer_ends() : model.eos();
    ids.insert(ids.end(), ends.begin(), ends.end());
  }
  std::ranges::sort(ids);
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

absl::StatusOr<Choice> Choice::Create(const Args& args) {
  ASSIGN_OR_RETURN(StopMatcher stop_matcher, StopMatcher::Create(args.params.stop));
  return Choice(args, std::move(stop_matcher));
}

Choice::Choice(const Args& args, StopMatcher stop_matcher)
    : model_(&args.model),
      params_(&args.params),
      stop_matcher_(std::move(stop_matcher)),
      end_token_ids_(EndTokenIds(args.model, args.kind, args.params)) {
  if (args.kind == AnswerKind::kChat) {
    CHECK(args.model.format().has_value());
    parser_.emplace(args.model.tokenizer(), *args.model.format(), args.state);
  } else {
    decoder_.emplace(args.model.tokenizer(), SpecialTokens::kHide);
  }
}

bool Choice::Push(const TokenStream::Item& token, ChoiceDelta& delta) {
  CHECK(!ended_);
  ++num_tokens_;
  if (parser_.has_value()) {
    phase_ = PhaseOf(parser_->part());
  }
  const bool ends_sequence = std::ranges::binary_search(end_token_ids_, token.token);
  if (ends_sequence && num_tokens_ > params_->min_tokens) {
    return false;
  }
  const bool was_content = IsContent();
  deltas_.clear();
  PushText(token.token, deltas_);
  if (was_content && IsContent()) {
    Expect(token);
  }
  if (Pass(deltas_, delta)) {
    delta.finish = FinishReason::kStop;
    ended_ = true;
    return true;
  }
  return false;
}

void Choice::Finish(FinishReason reason, ChoiceDelta& delta) {
  CHECK(!ended_);
  ended_ = true;
  deltas_.clear();
  FinishText(deltas_);
  if (Pass(deltas_, delta)) {
    reason = FinishReason::kStop;
  } else if (!stop_matcher_.stopped()) {
    AddContent(stop_matcher_.Finish(), delta);
    ReleaseLogprobs(delta);
  }
  delta.finish = reason;
}

void Choice::PushText(TokenId token, std::vector<AnswerDelta>& deltas) {
  if (parser_.has_value()) {
    parser_->Push(token, deltas);
    return;
  }
  std::string text = decoder_->Push(token);
  if (!text.empty()) {
    deltas.push_back({.kind = Kind::kContent, .text = std::move(text)});
  }
}

void Choice::FinishText(std::vector<AnswerDelta>& deltas) {
  if (parser_.has_value()) {
    parser_->Finish(deltas);
    return;
  }
  std::string text = decoder_->Finish();
  if (!text.empty()) {
    deltas.push_back({.kind = Kind::kContent, .text = std::move(text)});
  }
}

bool Choice::IsContent() const {
  return !parser_.has_value() || parser_->part() == AnswerParser::Part::kContent;
}

int64_t Choice::NumHeldBytes() const {
  return parser_.has_value() ? parser_->num_held_bytes() : decoder_->num_pending_bytes();
}

// Hands `deltas` on to `delta`, content through the stop matcher. True when the choice ends here.
bool Choice::Pass(std::vector<AnswerDelta>& deltas, ChoiceDelta& delta) {
  for (AnswerDelta& part : deltas) {
    if (part.kind != Kind::kContent) {
      const bool ends = part.kind == Kind::kToolCallEnd && !params_->parallel_tool_calls;
      delta.parts.push_back(std::move(part));
      if (ends) {
        return true;
      }
      continue;
    }
    num_decoded_bytes_ += std::ssize(part.text);
    if (num_tokens_ <= params_->min_tokens) {
      AddContent(std::move(part.text), delta);
    } else {
      AddContent(stop_matcher_.Push(part.text), delta);
    }
    if (stop_matcher_.stopped()) {
      ReleaseLogprobs(delta);
      pending_.clear();
      return true;
    }
  }
  DropSurplus();
  ReleaseLogprobs(delta);
  return false;
}

void Choice::AddContent(std::string text, ChoiceDelta& delta) {
  if (text.empty()) {
    return;
  }
  num_sent_bytes_ += std::ssize(text);
  if (!delta.parts.empty() && delta.parts.back().kind == Kind::kContent) {
    delta.parts.back().text += text;
  } else {
    delta.parts.push_back({.kind = Kind::kContent, .text = std::move(text)});
  }
}

// Notes the log-probabilities of a token of the content, until its text is given out.
void Choice::Expect(const TokenStream::Item& token) {
  const Tokenizer& tokenizer = model_->tokenizer();
  if (params_->sampling.num_logprobs < 0 || tokenizer.IsSpecial(token.token) ||
      tokenizer.Piece(token.token).empty()) {
    return;
  }
  ContentLogprob logprob = {
      .chosen = TextOf(tokenizer, {.token = token.token, .logprob = token.logprob})};
  for (const TokenLogprob& top : token.top_logprobs) {
    logprob.top.push_back(TextOf(tokenizer, top));
  }
  pending_.push_back({.begin = content_end_, .logprob = std::move(logprob)});
}

// The parser drops some blanks beside structure: their tokens are not of the content after all.
void Choice::DropSurplus() {
  content_end_ = num_decoded_bytes_ + (IsContent() ? NumHeldBytes() : 0);
  while (!pending_.empty() && pending_.back().begin >= content_end_) {
    pending_.pop_back();
  }
}

void Choice::ReleaseLogprobs(ChoiceDelta& delta) {
  while (!pending_.empty() && pending_.front().begin < num_sent_bytes_) {
    delta.logprobs.push_back(std::move(pending_.front().logprob));
    pending_.pop_front();
  }
}

}  // namespace hadal
