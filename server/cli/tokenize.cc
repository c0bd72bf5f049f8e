#include <cstdio>
#include <string>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "base/mapped_file.h"
#include "engine/text/stream_decoder.h"
#include "server/cli/commands.h"
#include "server/cli/json_output.h"
#include "server/cli/text_model.h"

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

ExitCode RunCommand(const TokenizeOptions& options) {
  const auto text_model = TextModel::Open(options.model);
  if (!text_model.ok()) {
    return Fail(ExitCode::kBadCheckpoint, text_model.status());
  }
  const auto tokens = ReadTokens(options, *text_model);
  if (!tokens.ok()) {
    return FailRunning(tokens.status());
  }
  const Tokenizer& tokenizer = text_model->tokenizer();
  if (options.format == OutputFormat::kJson) {
    boost::json::array pieces;
    for (const TokenId id : tokens->ids) {
      pieces.push_back(boost::json::value(PieceText(tokenizer, id)));
    }
    boost::json::object result = {
        {"ids", boost::json::array(tokens->ids.begin(), tokens->ids.end())},
        {"pieces", std::move(pieces)}};
    if (tokens->prompt.has_value()) {
      result["prompt"] = *tokens->prompt;
    }
    PrintJson(result);
    return ExitCode::kOk;
  }
  for (const TokenId id : tokens->ids) {
    std::printf("%d\t%s\n", id, QuotedPiece(tokenizer, id).c_str());
  }
  return ExitCode::kOk;
}

ExitCode RunCommand(const DetokenizeOptions& options) {
  const auto text_model = TextModel::Open(options.model);
  if (!text_model.ok()) {
    return Fail(ExitCode::kBadCheckpoint, text_model.status());
  }
  const Tokenizer& tokenizer = text_model->tokenizer();
  for (const TokenId id : options.ids) {
    if (id < 0 || id >= tokenizer.vocab_size()) {
      return Fail(ExitCode::kUsage,
                  InvalidArgument("token %d is not in the tokenizer's vocabulary", id));
    }
  }
  const std::string text = Decode(tokenizer, options.ids, SpecialTokens::kShow);
  std::printf("%s\n", text.c_str());
  return ExitCode::kOk;
}

}  // namespace hadal
