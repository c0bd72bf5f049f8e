#include "server/cli/model/text_model.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/json.h"
#include "engine/text/chat/chat_json.h"
#include "server/cli/exit_code.h"

namespace hadal {

absl::StatusOr<TextModel> TextModel::Open(const std::string& dir) {
  return CheckpointFault(Read(dir));
}

absl::StatusOr<TextModel> TextModel::Read(const std::string& dir) {
  ASSIGN_OR_RETURN(ModelConfig config, ReadModelConfig(dir));
  ASSIGN_OR_RETURN(Tokenizer tokenizer, Tokenizer::FromFile(dir + "/tokenizer.json"));
  ASSIGN_OR_RETURN(TokenizerConfig tokenizer_config,
                   ReadTokenizerConfigFile(dir + "/tokenizer_config.json"));
  if (tokenizer.vocab_size() > config.vocab_size) {
    return InvalidArgument(
        "%s/tokenizer.json: its largest id is %d, but config.json has a vocabulary of %d",
        dir,
        tokenizer.vocab_size() - 1,
        config.vocab_size);
  }
  return TextModel(std::move(config), std::move(tokenizer), std::move(tokenizer_config));
}

absl::StatusOr<std::vector<TokenId>> TextModel::EncodeText(std::string_view text) const {
  ASSIGN_OR_RETURN(std::vector<TokenId> ids, tokenizer_.Encode(text));
  ASSIGN_OR_RETURN(const std::optional<TokenId> bos, BosTokenId());
  if (bos.has_value()) {
    ids.insert(ids.begin(), *bos);
  }
  return ids;
}

absl::StatusOr<std::optional<TokenId>> TextModel::BosTokenId() const {
  if (!tokenizer_config_.add_bos_token.value_or(false)) {
    return std::optional<TokenId>();
  }
  const auto bos = tokenizer_config_.bos_token.has_value()
                       ? tokenizer_.FindAddedToken(*tokenizer_config_.bos_token)
                       : config_.bos_token_id;
  if (!bos.has_value()) {
    return InvalidArgument(
        "tokenizer_config.json: add_bos_token is set, but there is no such token");
  }
  return bos;
}

absl::StatusOr<ChatFormat> TextModel::DetectFormat() const {
  return CheckpointFault(DetectChatFormat(tokenizer_, tokenizer_config_, config_.model_type));
}

absl::StatusOr<ChatPrompt> TextModel::EncodeChatFile(const std::string& path) const {
  ASSIGN_OR_RETURN(const boost::json::value body, ParseJsonFile(path, kMaxInputFileBytes));
  return EncodeChatRequest(body, path);
}

absl::StatusOr<std::vector<std::vector<TokenId>>> TextModel::EncodeChatsFile(
    const std::string& path) const {
  ASSIGN_OR_RETURN(const boost::json::value file, ParseJsonFile(path, kMaxInputFileBytes));
  const boost::json::array* const bodies = file.if_array();
  if (bodies == nullptr || bodies->empty()) {
    return InvalidArgument("%s: expected an array of chat requests", path);
  }
  std::vector<std::vector<TokenId>> prompts;
  prompts.reserve(bodies->size());
  for (const boost::json::value& body : *bodies) {
    const std::string place = absl::StrFormat("%s[%d]", path, prompts.size());
    ASSIGN_OR_RETURN(const ChatPrompt prompt, EncodeChatRequest(body, place));
    ASSIGN_OR_RETURN(std::vector<TokenId> ids, EncodePrompt(prompt.segments, tokenizer_));
    prompts.push_back(std::move(ids));
  }
  return prompts;
}

absl::StatusOr<ChatPrompt> TextModel::EncodeChatRequest(const boost::json::value& body,
                                                        const std::string& place) const {
  ASSIGN_OR_RETURN(const ChatFormat format, DetectFormat());
  const absl::StatusOr<ChatRequest> request = ReadChatRequest(body);
  RETURN_IF_ERROR(Annotate(request.status(), place));
  absl::StatusOr<ChatPrompt> prompt = EncodeChat(format, *request);
  RETURN_IF_ERROR(Annotate(prompt.status(), place));
  return prompt;
}

std::vector<TokenId> TextModel::EosTokenIds() const {
  std::vector<TokenId> ids = config_.eos_token_ids;
  if (tokenizer_config_.eos_token.has_value()) {
    if (const auto id = tokenizer_.FindAddedToken(*tokenizer_config_.eos_token)) {
      ids.push_back(*id);
    }
  }
  return ids;
}

absl::StatusOr<std::vector<TokenId>> ReadIdsFile(const std::string& path) {
  ASSIGN_OR_RETURN(const boost::json::value file, ParseJsonFile(path, kMaxInputFileBytes));
  const boost::json::value* ids = &file;
  if (const boost::json::object* object = file.if_object()) {
    ids = object->if_contains("ids");
  }
  const boost::json::array* array = ids == nullptr ? nullptr : ids->if_array();
  if (array == nullptr) {
    return InvalidArgument("%s: expected an array of token ids, or an object with \"ids\"", path);
  }
  std::vector<TokenId> tokens;
  for (const boost::json::value& id : *array) {
    const int64_t* number = id.if_int64();
    if (number == nullptr || *number < 0 || *number > std::numeric_limits<TokenId>::max()) {
      return InvalidArgument("%s: expected a token id at place %d", path, tokens.size());
    }
    tokens.push_back(static_cast<TokenId>(*number));
  }
  return tokens;
}

}  // namespace hadal
