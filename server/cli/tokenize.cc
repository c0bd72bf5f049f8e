#include <cstdio>
#include <string>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "base/mapped_file.h"
#include "engine/text/stream_decoder.h"
#include "server/cli/commands.h"
#include "server/cli/json_output.h"
#include "server/cli/model/text_model.h"

namespace hadal {
namespace {

struct Tokens {
  std::vector<TokenId> ids;
  std::optional<std::string> prompt;  // of a chat: what the ids say
};

absl::StatusOr<Tokens> ReadTokens(const TokenizeOptions& options, const TextModel& text_model) {
  Tokens tokens;
  if (!options.chat_file.empty()) {
    ASSIGN_OR_RETURN(const ChatPrompt chat, text_model.EncodeChatFile(options.chat_file));
    ASSIGN_OR_RETURN(tokens.ids, EncodePrompt(chat.segments, text_model.tokenizer()));
    tokens.prompt.emplace();
    for (const PromptSegment& segment : chat.segments) {
      *tokens.prompt += segment.text;
    }
    return tokens;
  }
  std::string text;
  if (options.text.has_value()) {
    text = *options.text;
  } else {
    ASSIGN_OR_RETURN(text, ReadTextFile(options.text_file, kMaxInputFileBytes));
  }
  ASSIGN_OR_RETURN(tokens.ids, text_model.tokenizer().Encode(text));
  return tokens;
}

}  // namespace

absl::Status RunCommand(const TokenizeOptions& options) {
  ASSIGN_OR_RETURN(const TextModel text_model, TextModel::Open(options.model));
  ASSIGN_OR_RETURN(const Tokens tokens, ReadTokens(options, text_model));
  const Tokenizer& tokenizer = text_model.tokenizer();
  if (options.format == OutputFormat::kJson) {
    boost::json::array pieces;
    for (const TokenId id : tokens.ids) {
      pieces.push_back(boost::json::value(PieceText(tokenizer, id)));
    }
    boost::json::object result = {{"ids", boost::json::array(tokens.ids.begin(), tokens.ids.end())},
                                  {"pieces", std::move(pieces)}};
    if (tokens.prompt.has_value()) {
      result["prompt"] = *tokens.prompt;
    }
    PrintJson(result);
    return absl::OkStatus();
  }
  for (const TokenId id : tokens.ids) {
    std::printf("%d\t%s\n", id, QuotedPiece(tokenizer, id).c_str());
  }
  return absl::OkStatus();
}

absl::Status RunCommand(const DetokenizeOptions& options) {
  ASSIGN_OR_RETURN(const TextModel text_model, TextModel::Open(options.model));
  const Tokenizer& tokenizer = text_model.tokenizer();
  for (const TokenId id : options.ids) {
    if (id < 0 || id >= tokenizer.vocab_size()) {
      return InvalidArgument("token %d is not in the tokenizer's vocabulary", id);
    }
  }
  std::printf("%s\n", Decode(tokenizer, options.ids, SpecialTokens::kShow).c_str());
  return absl::OkStatus();
}

}  // namespace hadal
