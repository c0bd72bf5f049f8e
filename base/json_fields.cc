#include "base/json_fields.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include <boost/json/serialize.hpp>

namespace hadal {
namespace {

constexpr size_t kMaxDescribedBytes = 60;

std::optional<int64_t> AsInt(const boost::json::value& value) {
  if (const int64_t* number = value.if_int64()) {
    return *number;
  }
  return std::nullopt;  // a uint64 is beyond every range in use
}

std::optional<double> AsNumber(const boost::json::value& value) {
  if (const double* number = value.if_double()) {
    return std::isfinite(*number) ? std::optional(*number) : std::nullopt;
  }
  if (const std::optional<int64_t> number = AsInt(value)) {
    return static_cast<double>(*number);
  }
  return std::nullopt;
}

std::string_view ViewOf(const boost::json::string& text) {
  return {text.data(), text.size()};
}

absl::Status UnexpectedValue(std::string_view path,
                             std::string_view expected,
                             const boost::json::value* value) {
  return InvalidArgument("%s: expected %s, found %s",
                         path,
                         expected,
                         value == nullptr ? "nothing" : DescribeJson(*value));
}

}  // namespace

absl::StatusOr<JsonFields> JsonFields::Of(const boost::json::value& value,
                                          std::string path,
                                          std::string_view name) {
  if (!value.is_object()) {
    return UnexpectedValue(path.empty() ? name : path, "an object", &value);
  }
  return JsonFields(value.get_object(), std::move(path));
}

const boost::json::value* JsonFields::Find(std::string_view key) const {
  const boost::json::value* value = object_->if_contains({key.data(), key.size()});
  return value == nullptr || value->is_null() ? nullptr : value;
}

absl::StatusOr<const boost::json::value*> JsonFields::Value(std::string_view key) const {
  if (const boost::json::value* value = Find(key)) {
    return value;
  }
  return Unexpected(key, "a value");
}

absl::StatusOr<int64_t> JsonFields::Int(std::string_view key, FieldRange<int64_t> range) const {
  const boost::json::value* value = Find(key);
  const std::optional<int64_t> number = value == nullptr ? std::nullopt : AsInt(*value);
  if (!number || *number < range.min || *number > range.max) {
    return Unexpected(key, absl::StrFormat("an integer from %d to %d", range.min, range.max));
  }
  return *number;
}

absl::StatusOr<int64_t> JsonFields::IntOr(std::string_view key,
                                          FieldRange<int64_t> range,
                                          int64_t fallback) const {
  return Find(key) == nullptr ? fallback : Int(key, range);
}

absl::StatusOr<int64_t> JsonFields::IntOrNull(std::string_view key,
                                              FieldRange<int64_t> range) const {
  const boost::json::value* value = object_->if_contains({key.data(), key.size()});
  return value != nullptr && value->is_null() ? int64_t{0} : Int(key, range);
}

absl::StatusOr<double> JsonFields::Number(std::string_view key, FieldRange<double> range) const {
  const boost::json::value* value = Find(key);
  const std::optional<double> number = value == nullptr ? std::nullopt : AsNumber(*value);
  if (!number || *number < range.min || *number > range.max) {
    return Unexpected(key, absl::StrFormat("a number from %g to %g", range.min, range.max));
  }
  return *number;
}

absl::StatusOr<double> JsonFields::NumberOr(std::string_view key,
                                            FieldRange<double> range,
                                            double fallback) const {
  return Find(key) == nullptr ? fallback : Number(key, range);
}

absl::StatusOr<bool> JsonFields::BoolOr(std::string_view key, bool fallback) const {
  const boost::json::value* value = Find(key);
  if (value == nullptr) {
    return fallback;
  }
  if (!value->is_bool()) {
    return Unexpected(key, "true or false");
  }
  return value->get_bool();
}

absl::StatusOr<std::string_view> JsonFields::String(std::string_view key) const {
  const boost::json::value* value = Find(key);
  if (value == nullptr || !value->is_string()) {
    return Unexpected(key, "a string");
  }
  return ViewOf(value->get_string());
}

absl::StatusOr<std::string_view> JsonFields::StringOr(std::string_view key,
                                                      std::string_view fallback) const {
  return Find(key) == nullptr ? fallback : String(key);
}

absl::StatusOr<const boost::json::array*> JsonFields::Array(std::string_view key) const {
  const boost::json::value* value = Find(key);
  if (value == nullptr || !value->is_array()) {
    return Unexpected(key, "an array");
  }
  return &value->get_array();
}

absl::StatusOr<JsonFields> JsonFields::Object(std::string_view key) const {
  ASSIGN_OR_RETURN(const boost::json::object* const object, ObjectOrNull(key));
  if (object == nullptr) {
    return Unexpected(key, "an object");
  }
  return JsonFields(*object, PathOf(key));
}

absl::StatusOr<const boost::json::object*> JsonFields::ObjectOrNull(std::string_view key) const {
  const boost::json::value* value = Find(key);
  if (value == nullptr) {
    return nullptr;
  }
  if (!value->is_object()) {
    return Unexpected(key, "an object");
  }
  return &value->get_object();
}

absl::Status JsonFields::CheckKnownKeys(std::initializer_list<std::string_view> known) const {
  for (const auto& member : *object_) {
    const std::string_view key(member.key().data(), member.key().size());
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      return Unimplemented("%s: a key that Hadal does not know, with the value %s",
                           PathOf(key),
                           DescribeJson(member.value()));
    }
  }
  return absl::OkStatus();
}

std::string JsonFields::PathOf(std::string_view key) const {
  return path_.empty() ? std::string(key) : absl::StrFormat("%s.%s", path_, key);
}

absl::Status JsonFields::Unexpected(std::string_view key, std::string_view expected) const {
  return UnexpectedValue(PathOf(key), expected, object_->if_contains({key.data(), key.size()}));
}

absl::Status JsonFields::Unsupported(std::string_view key, std::string_view supported) const {
  const boost::json::value* value = object_->if_contains({key.data(), key.size()});
  return Unimplemented("%s: only %s is supported, found %s",
                       PathOf(key),
                       supported,
                       value == nullptr ? "nothing" : DescribeJson(*value));
}

absl::StatusOr<const boost::json::array*> ReadArray(const boost::json::value& value,
                                                    std::string_view path) {
  if (const boost::json::array* array = value.if_array()) {
    return array;
  }
  return UnexpectedValue(path, "an array", &value);
}

absl::StatusOr<std::string_view> ReadString(const boost::json::value& value,
                                            std::string_view path) {
  if (const boost::json::string* text = value.if_string()) {
    return ViewOf(*text);
  }
  return UnexpectedValue(path, "a string", &value);
}

std::string PathOfItem(std::string_view path, size_t index) {
  return absl::StrFormat("%s[%d]", path, index);
}

std::string DescribeJson(const boost::json::value& value) {
  switch (value.kind()) {
    case boost::json::kind::array:
      return absl::StrFormat("an array of %d", value.get_array().size());
    case boost::json::kind::object:
      return "an object";
    case boost::json::kind::string:
    case boost::json::kind::null:
    case boost::json::kind::bool_:
    case boost::json::kind::int64:
    case boost::json::kind::uint64:
    case boost::json::kind::double_:
      break;
  }
  std::string text = boost::json::serialize(value);
  if (text.size() > kMaxDescribedBytes) {
    size_t end = kMaxDescribedBytes;
    while ((static_cast<uint8_t>(text[end]) & 0xC0U) == 0x80U) {
      --end;  // whole characters only
    }
    text.resize(end);
    text += "…";
  }
  return text;
}

}  // namespace hadal
