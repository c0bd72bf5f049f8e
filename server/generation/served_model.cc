#include "server/generation/served_model.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "engine/text/chat/prompt_segment.h"
#include "engine/text/chat/prompt_tokens.h"
#include "engine/text/stream_decoder.h"

namespace hadal {
namespace {

int64_t LongestPiece(const Tokenizer& tokenizer) {
  int64_t longest = 1;
  for (TokenId id = 0; id < tokenizer.vocab_size(); ++id) {
    longest = std::max(longest, std::ssize(tokenizer.Piece(id)));
  }
  return longest;
}

}  // namespace

ServedModel::ServedModel(Args args)
    : args_(std::move(args)), max_text_bytes_(LongestPiece(args_.tokenizer) * args_.max_tokens) {
  CHECK(!args_.names.empty());
  CHECK_GT(args_.max_tokens, 0);
  // A model that begins a turn of somebody else has nothing more to say.
  answer_ends_ = args_.eos;
  for (const std::string_view name : {kUserToken, kAssistantToken, kBeginOfSentence}) {
    if (const auto id = args_.tokenizer.FindAddedToken(name)) {
      answer_ends_.push_back(*id);
    }
  }
}

absl::Status ServedModel::CheckName(std::string_view name) const {
  if (name.empty() || std::ranges::find(args_.names, name) != args_.names.end()) {
    return absl::OkStatus();
  }
  return NotFound("model: this server has no model of that name; it serves \"%s\"",
                  args_.names.front());
}

absl::StatusOr<Prompt> ServedModel::EncodeChat(const ChatRequest& chat) const {
  if (!args_.format.has_value()) {
    return Unimplemented("messages: the model has no chat format that this server knows");
  }
  ASSIGN_OR_RETURN(const ChatPrompt prompt, hadal::EncodeChat(*args_.format, chat));
  return EncodeSegments("messages", prompt.segments, prompt.state);
}

absl::StatusOr<Prompt> ServedModel::EncodeText(std::string_view text) const {
  RETURN_IF_ERROR(CheckTextBytes("prompt", std::ssize(text)));
  absl::StatusOr<std::vector<TokenId>> tokens = args_.tokenizer.Encode(text);
  RETURN_IF_ERROR(Annotate(tokens.status(), "prompt"));
  if (args_.bos.has_value()) {
    tokens->insert(tokens->begin(), *args_.bos);
  }
  return Prompt{.tokens = *std::move(tokens)};
}

absl::StatusOr<Prompt> ServedModel::EncodeFill(std::string_view prefix,
                                               std::string_view suffix) const {
  for (const std::string_view name : {kFimBegin, kFimHole, kFimEnd}) {
    if (!args_.tokenizer.FindAddedToken(name).has_value()) {
      return Unimplemented("suffix: the model has no tokens to fill in the middle");
    }
  }
  PromptBuilder builder;
  builder.AddToken(kFimBegin);
  builder.AddText(prefix);
  builder.AddToken(kFimHole);
  builder.AddText(suffix);
  builder.AddToken(kFimEnd);
  ASSIGN_OR_RETURN(Prompt prompt, EncodeSegments("prompt", builder.Take(), PromptState::kContent));
  if (args_.bos.has_value()) {
    prompt.tokens.insert(prompt.tokens.begin(), *args_.bos);
  }
  return prompt;
}

absl::StatusOr<Prompt> ServedModel::TakeIds(std::vector<TokenId> ids) const {
  RETURN_IF_ERROR(CheckIds("prompt", ids));
  return Prompt{.tokens = std::move(ids)};
}

absl::StatusOr<std::string> ServedModel::DecodeIds(std::span<const TokenId> tokens) const {
  if (std::ssize(tokens) > args_.max_tokens) {
    return OutOfRange(
        "tokens: this model's context holds %d tokens, found %d", args_.max_tokens, tokens.size());
  }
  RETURN_IF_ERROR(CheckIds("tokens", tokens));
  return Decode(args_.tokenizer, tokens, SpecialTokens::kShow);
}

absl::Status ServedModel::CheckIds(std::string_view field, std::span<const TokenId> ids) const {
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0 || ids[i] >= args_.vocab_size) {
      return InvalidArgument("%s: token %d at place %d is not in the vocabulary of %d",
                             field,
                             ids[i],
                             i,
                             args_.vocab_size);
    }
  }
  return absl::OkStatus();
}

absl::Status ServedModel::CheckTextBytes(std::string_view field, int64_t num_bytes) const {
  if (num_bytes <= max_text_bytes_) {
    return absl::OkStatus();
  }
  return OutOfRange("%s: %d bytes of text cannot fit into the context of %d tokens",
                    field,
                    num_bytes,
                    args_.max_tokens);
}

absl::StatusOr<Prompt> ServedModel::EncodeSegments(std::string_view field,
                                                   std::span<const PromptSegment> segments,
                                                   PromptState state) const {
  int64_t num_bytes = 0;
  for (const PromptSegment& segment : segments) {
    num_bytes += std::ssize(segment.text);
  }
  RETURN_IF_ERROR(CheckTextBytes(field, num_bytes));
  absl::StatusOr<std::vector<TokenId>> tokens = EncodePrompt(segments, args_.tokenizer);
  RETURN_IF_ERROR(Annotate(tokens.status(), field));
  return Prompt{.tokens = *std::move(tokens), .state = state};
}

}  // namespace hadal
