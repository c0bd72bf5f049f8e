#include "server/config/config_value.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include "base/byte_size.h"
#include "base/log.h"
#include "base/utf8.h"

namespace hadal {
namespace {

constexpr size_t kMaxTextBytes = 4096;
constexpr size_t kMaxListItems = 256;
constexpr size_t kMaxQuotedBytes = 64;

template <typename... Functions>
struct Visitor : Functions... {
  using Functions::operator()...;
};
template <typename... Functions>
Visitor(Functions...) -> Visitor<Functions...>;

std::string ShortestOf(double number) {
  std::array<char, 32> digits = {};
  const auto [end, error] = std::to_chars(digits.begin(), digits.end(), number);
  return {digits.begin(), end};
}

// The whole of `text` as a number in decimal. A leading zero would be read as octal by other
// readers of YAML, so it is no number here.
template <typename Value>
std::optional<Value> DecimalOf(std::string_view text) {
  const std::string_view digits = text.substr(text.starts_with('-') ? 1 : 0);
  if (digits.size() > 1 && digits[0] == '0' && digits[1] >= '0' && digits[1] <= '9') {
    return std::nullopt;
  }
  Value value = 0;
  const auto [rest, error] = std::from_chars(text.begin(), text.end(), value);
  return error == std::errc() && rest == text.end() ? std::optional(value) : std::nullopt;
}

std::optional<int64_t> IntegerOf(const IntegerField& field, std::string_view text) {
  if (field.notation == IntegerNotation::kBytes) {
    const absl::StatusOr<int64_t> bytes = ParseByteSize(text);
    return bytes.ok() ? std::optional(*bytes) : std::nullopt;
  }
  return DecimalOf<int64_t>(text);
}

std::string IntegerText(const IntegerField& field, int64_t value) {
  return field.notation == IntegerNotation::kBytes && value >= 0 ? FormatByteSize(value)
                                                                 : std::to_string(value);
}

// What is expected where `text` is something else; empty when it is as it should be.
std::string_view CheckText(std::string_view text) {
  const auto is_control = [](char c) { return (c >= 0 && c < ' ') || c == 0x7F; };
  if (text.size() > kMaxTextBytes) {
    return "a text of at most 4096 bytes";
  }
  return ValidUtf8Prefix(text) != text.size() || std::any_of(text.begin(), text.end(), is_control)
             ? "a text without control characters"
             : "";
}

std::string_view CheckItem(std::string_view text) {
  return text.empty() ? "a text that is not empty" : CheckText(text);
}

absl::Status Unexpected(std::string_view expected, std::string_view found) {
  return InvalidArgument("expected %s, found %s", expected, found);
}

absl::Status SetOne(const ConfigKey& key, const std::string& text, ServerConfig& config) {
  const auto unexpected = [&] { return Unexpected(ExpectedOf(key), Quoted(text)); };
  return std::visit(
      Visitor{[&](const IntegerField& field) -> absl::Status {
                const std::optional<int64_t> value = IntegerOf(field, text);
                if (!value.has_value() || *value < field.min || *value > field.max) {
                  return unexpected();
                }
                field.set(config, *value);
                return absl::OkStatus();
              },
              [&](const NumberField& field) -> absl::Status {
                const std::optional<double> value = DecimalOf<double>(text);
                if (!value.has_value() || !(*value >= field.min && *value <= field.max)) {
                  return unexpected();
                }
                field.set(config, *value);
                return absl::OkStatus();
              },
              [&](const BoolField& field) -> absl::Status {
                if (text != "true" && text != "false") {
                  return unexpected();
                }
                field.set(config, text == "true");
                return absl::OkStatus();
              },
              [&](const TextField& field) -> absl::Status {
                std::string_view expected = CheckText(text);
                if (expected.empty() && field.check != nullptr) {
                  expected = field.check(text);
                }
                if (!expected.empty()) {
                  return Unexpected(expected, Quoted(text));
                }
                field.set(config, text);
                return absl::OkStatus();
              },
              [&](const ChoiceField& field) -> absl::Status {
                if (std::find(field.choices.begin(), field.choices.end(), text) ==
                    field.choices.end()) {
                  return unexpected();
                }
                field.set(config, text);
                return absl::OkStatus();
              },
              [&](const ListField& field) -> absl::Status {
                field.set(config, {text});
                return absl::OkStatus();
              }},
      key.field);
}

absl::Status SetList(const ListField& field,
                     std::span<const std::string> texts,
                     ServerConfig& config) {
  if (texts.size() > kMaxListItems) {
    return InvalidArgument("expected at most %d items, found %d", kMaxListItems, texts.size());
  }
  for (const std::string& text : texts) {
    const std::string_view expected = CheckItem(text);
    if (!expected.empty()) {
      return Unexpected(expected, Quoted(text));
    }
  }
  field.set(config, {texts.begin(), texts.end()});
  return absl::OkStatus();
}

// The texts that SetValue would set the member from.
std::vector<std::string> TextsOf(const ConfigKey& key, const ServerConfig& config) {
  using Texts = std::vector<std::string>;
  return std::visit(
      Visitor{
          [&](const IntegerField& field) { return Texts{IntegerText(field, field.get(config))}; },
          [&](const NumberField& field) { return Texts{ShortestOf(field.get(config))}; },
          [&](const BoolField& field) { return Texts{field.get(config) ? "true" : "false"}; },
          [&](const TextField& field) { return Texts{field.get(config)}; },
          [&](const ChoiceField& field) { return Texts{std::string(field.get(config))}; },
          [&](const ListField& field) { return field.get(config); }},
      key.field);
}

// Double quotes make YAML read JSON's escapes.
std::string YamlText(const std::string& text) {
  return absl::StrCat("\"", EscapeJson(text), "\"");
}

}  // namespace

std::string ExpectedOf(const ConfigKey& key) {
  return std::visit(
      Visitor{[](const IntegerField& field) {
                return absl::StrFormat(
                    "%s in [%s, %s]",
                    field.notation == IntegerNotation::kBytes ? "a size" : "an integer",
                    IntegerText(field, field.min),
                    IntegerText(field, field.max));
              },
              [](const NumberField& field) {
                return absl::StrFormat(
                    "a number in [%s, %s]", ShortestOf(field.min), ShortestOf(field.max));
              },
              [](const BoolField& /*field*/) { return std::string("true or false"); },
              [](const TextField& /*field*/) { return std::string("a text"); },
              [](const ChoiceField& field) {
                return "one of " + absl::StrJoin(field.choices,
                                                 ", ",
                                                 [](std::string* out, std::string_view choice) {
                                                   out->append(choice);
                                                 });
              },
              [](const ListField& /*field*/) { return std::string("a list of texts"); }},
      key.field);
}

absl::Status SetValue(const ConfigKey& key,
                      std::span<const std::string> texts,
                      ServerConfig& config) {
  if (const auto* list = std::get_if<ListField>(&key.field)) {
    return SetList(*list, texts, config);
  }
  if (texts.size() != 1) {
    return InvalidArgument("expected %s, found a list", ExpectedOf(key));
  }
  return SetOne(key, texts.front(), config);
}

absl::Status CheckValue(const ConfigKey& key, const ServerConfig& config) {
  ServerConfig unused;
  return Annotate(SetValue(key, TextsOf(key, config), unused), PathOf(key));
}

std::string YamlOf(const ConfigKey& key, const ServerConfig& config) {
  const std::vector<std::string> texts = TextsOf(key, config);
  if (std::holds_alternative<ListField>(key.field)) {
    return absl::StrCat(
        "[",
        absl::StrJoin(
            texts, ", ", [](std::string* out, const std::string& text) { *out += YamlText(text); }),
        "]");
  }
  return std::holds_alternative<TextField>(key.field) ? YamlText(texts.front()) : texts.front();
}

std::string Quoted(std::string_view text) {
  const bool is_cut = text.size() > kMaxQuotedBytes;
  return absl::StrCat("'", EscapeJson(text.substr(0, kMaxQuotedBytes)), is_cut ? "…'" : "'");
}

}  // namespace hadal
