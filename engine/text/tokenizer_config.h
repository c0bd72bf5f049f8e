#pragma once

#include <optional>
#include <string>

#include <boost/json/value.hpp>

#include "base/status.h"

namespace hadal {

/// What Hadal reads of a checkpoint's tokenizer_config.json. `add_bos_token` is for callers that
/// encode plain text; prompts of chats carry their own begin-of-sentence token and must not get a
/// second one.
struct TokenizerConfig {
  std::optional<bool> add_bos_token;
  std::optional<std::string> bos_token;
  std::optional<std::string> eos_token;
  std::optional<std::string> chat_template;  // Jinja text: looked at, never executed
};

/// Reads the fields above; each may be missing or null. Tokens are strings or objects with
/// `content`. Of several named templates the one called "default" is taken. InvalidArgument, naming
/// the field, when one is malformed.
absl::StatusOr<TokenizerConfig> ReadTokenizerConfig(const boost::json::value& file);

/// ReadTokenizerConfig of a file of at most 16 MiB; a missing file gives an empty config. A file
/// chat_template.jinja in the same folder, as newer checkpoints have it, gives the chat template
/// and overrides the key `chat_template`, as in the transformers package. InvalidArgument, naming
/// the file, when one is malformed, too large or not UTF-8.
absl::StatusOr<TokenizerConfig> ReadTokenizerConfigFile(const std::string& path);

}  // namespace hadal
