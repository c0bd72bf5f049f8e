#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "engine/checkpoint/model_config.h"
#include "engine/text/chat/chat_format.h"
#include "engine/text/chat/prompt_encoder.h"
#include "engine/text/tokenizer.h"
#include "engine/text/tokenizer_config.h"

namespace hadal {

/// The text side of a checkpoint folder: config, tokenizer, and how it writes conversations.
class TextModel {
 public:
  /// Errors name the file and are CheckpointFaults. InvalidArgument when a token's id exceeds the
  /// model's vocabulary.
  static absl::StatusOr<TextModel> Open(const std::string& dir);

  [[nodiscard]] const ModelConfig& config() const { return config_; }
  [[nodiscard]] const Tokenizer& tokenizer() const { return tokenizer_; }

  /// Ids of plain text to continue, with the begin-of-sentence token in front when the checkpoint
  /// asks for one.
  [[nodiscard]] absl::StatusOr<std::vector<TokenId>> EncodeText(std::string_view text) const;

  /// The prompt of a chat request file, as the checkpoint's format has it. Errors name the file;
  /// a format that is unknown is a CheckpointFault.
  [[nodiscard]] absl::StatusOr<ChatPrompt> EncodeChatFile(const std::string& path) const;

  /// The ids of the prompts of a JSON array of chat requests. Errors name the file and the place in
  /// it.
  [[nodiscard]] absl::StatusOr<std::vector<std::vector<TokenId>>> EncodeChatsFile(
      const std::string& path) const;

  /// How the checkpoint writes conversations. The errors of DetectChatFormat.
  [[nodiscard]] absl::StatusOr<ChatFormat> DetectFormat() const;

  /// The token that plain text begins with; nothing when the checkpoint asks for none. The errors
  /// of EncodeText.
  [[nodiscard]] absl::StatusOr<std::optional<TokenId>> BosTokenId() const;

  /// Tokens that end an answer, by tokenizer_config.json and config.json.
  [[nodiscard]] std::vector<TokenId> EosTokenIds() const;

 private:
  static absl::StatusOr<TextModel> Read(const std::string& dir);

  TextModel(ModelConfig config, Tokenizer tokenizer, TokenizerConfig tokenizer_config)
      : config_(std::move(config)),
        tokenizer_(std::move(tokenizer)),
        tokenizer_config_(std::move(tokenizer_config)) {}

  // Errors name `place`.
  [[nodiscard]] absl::StatusOr<ChatPrompt> EncodeChatRequest(const boost::json::value& body,
                                                             const std::string& place) const;

  ModelConfig config_;
  Tokenizer tokenizer_;
  TokenizerConfig tokenizer_config_;
};

/// The largest text or JSON file that a command reads.
inline constexpr size_t kMaxInputFileBytes = size_t{256} << 20U;

/// Ids from a JSON file: an array of integers, or an object with such an array as "ids".
absl::StatusOr<std::vector<TokenId>> ReadIdsFile(const std::string& path);

}  // namespace hadal
