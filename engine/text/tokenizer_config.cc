#include "engine/text/tokenizer_config.h"

#include <string_view>
#include <utility>

#include "base/json.h"
#include "base/json_fields.h"
#include "base/mapped_file.h"
#include "base/utf8.h"

namespace hadal {
namespace {

using boost::json::array;
using boost::json::value;

constexpr size_t kMaxFileBytes = size_t{16} << 20U;
constexpr const char* kTemplateFile = "chat_template.jinja";

// A token: its content, or an AddedToken object that holds it.
absl::StatusOr<std::optional<std::string>> ReadToken(const JsonFields& file, std::string_view key) {
  const value* field = file.Find(key);
  if (field == nullptr) {
    return std::nullopt;
  }
  if (field->is_object()) {
    ASSIGN_OR_RETURN(const JsonFields token, file.Object(key));
    ASSIGN_OR_RETURN(const std::string_view content, token.String("content"));
    return std::string(content);
  }
  ASSIGN_OR_RETURN(const std::string_view content, file.String(key));
  return std::string(content);
}

// The template's text, or a list of {name, template}.
absl::StatusOr<std::optional<std::string>> ReadChatTemplate(const JsonFields& file) {
  constexpr std::string_view kKey = "chat_template";
  const value* field = file.Find(kKey);
  if (field == nullptr) {
    return std::nullopt;
  }
  if (!field->is_array()) {
    ASSIGN_OR_RETURN(const std::string_view text, file.String(kKey));
    return std::string(text);
  }
  const array& templates = field->get_array();
  for (size_t i = 0; i < templates.size(); ++i) {
    ASSIGN_OR_RETURN(const JsonFields entry, JsonFields::Of(templates[i], PathOfItem(kKey, i), ""));
    ASSIGN_OR_RETURN(const std::string_view name, entry.String("name"));
    ASSIGN_OR_RETURN(const std::string_view text, entry.String("template"));
    if (name == "default") {
      return std::string(text);
    }
  }
  return InvalidArgument("%s: no template is named \"default\"", kKey);
}

// Nothing when there is no such file.
absl::StatusOr<std::optional<std::string>> ReadTemplateFile(const std::string& path) {
  absl::StatusOr<std::string> text = ReadTextFile(path, kMaxFileBytes);
  if (absl::IsNotFound(text.status())) {
    return std::nullopt;
  }
  RETURN_IF_ERROR(text.status());
  const size_t valid = ValidUtf8Prefix(*text);
  if (valid < text->size()) {
    return InvalidArgument("%s: not UTF-8 at byte %d", path, valid);
  }
  return *std::move(text);
}

}  // namespace

absl::StatusOr<TokenizerConfig> ReadTokenizerConfig(const value& json) {
  TokenizerConfig config;
  ASSIGN_OR_RETURN(const JsonFields file, JsonFields::Of(json, "", "tokenizer_config.json"));
  if (file.Find("add_bos_token") != nullptr) {
    ASSIGN_OR_RETURN(config.add_bos_token, file.BoolOr("add_bos_token", false));
  }
  ASSIGN_OR_RETURN(config.bos_token, ReadToken(file, "bos_token"));
  ASSIGN_OR_RETURN(config.eos_token, ReadToken(file, "eos_token"));
  ASSIGN_OR_RETURN(config.chat_template, ReadChatTemplate(file));
  return config;
}

absl::StatusOr<TokenizerConfig> ReadTokenizerConfigFile(const std::string& path) {
  TokenizerConfig config;
  const absl::StatusOr<value> json = ParseJsonFile(path, kMaxFileBytes);
  if (json.ok()) {
    absl::StatusOr<TokenizerConfig> read = ReadTokenizerConfig(*json);
    if (!read.ok()) {
      return Annotate(read.status(), path);
    }
    config = *std::move(read);
  } else if (!absl::IsNotFound(json.status())) {
    return json.status();
  }
  const std::string folder = path.substr(0, path.rfind('/') + 1);
  ASSIGN_OR_RETURN(std::optional<std::string> text, ReadTemplateFile(folder + kTemplateFile));
  if (text.has_value()) {
    config.chat_template = std::move(text);
  }
  return config;
}

}  // namespace hadal
