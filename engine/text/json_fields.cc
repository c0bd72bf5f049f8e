#include "engine/text/json_fields.h"

namespace hadal {
namespace {

absl::Status WrongType(std::string_view path, std::string_view wanted, boost::json::kind got) {
  const boost::json::string_view name = boost::json::to_string(got);
  return InvalidArgument(
      "%s: expected %s, got %s", path, wanted, std::string_view(name.data(), name.size()));
}

}  // namespace

absl::StatusOr<const boost::json::object*> AsObject(const boost::json::value& value,
                                                    std::string_view path) {
  if (const boost::json::object* object = value.if_object()) {
    return object;
  }
  return WrongType(path, "an object", value.kind());
}

absl::StatusOr<const boost::json::array*> AsArray(const boost::json::value& value,
                                                  std::string_view path) {
  if (const boost::json::array* array = value.if_array()) {
    return array;
  }
  return WrongType(path, "an array", value.kind());
}

absl::StatusOr<std::string_view> AsString(const boost::json::value& value, std::string_view path) {
  if (const boost::json::string* string = value.if_string()) {
    return std::string_view(string->data(), string->size());
  }
  return WrongType(path, "a string", value.kind());
}

absl::StatusOr<bool> AsBool(const boost::json::value& value, std::string_view path) {
  if (const bool* boolean = value.if_bool()) {
    return *boolean;
  }
  return WrongType(path, "a bool", value.kind());
}

const boost::json::value* FindField(const boost::json::object& object, std::string_view key) {
  const boost::json::value* value = object.if_contains({key.data(), key.size()});
  return value != nullptr && value->is_null() ? nullptr : value;
}

absl::StatusOr<const boost::json::value*> RequireField(const boost::json::object& object,
                                                       std::string_view key,
                                                       std::string_view path) {
  if (const boost::json::value* value = FindField(object, key)) {
    return value;
  }
  return InvalidArgument("%s: missing", JoinPath(path, key));
}

absl::StatusOr<std::string_view> RequireString(const boost::json::object& object,
                                               std::string_view key,
                                               std::string_view path) {
  ASSIGN_OR_RETURN(const boost::json::value* value, RequireField(object, key, path));
  return AsString(*value, JoinPath(path, key));
}

absl::StatusOr<bool> BoolOr(const boost::json::object& object,
                            std::string_view key,
                            bool absent,
                            std::string_view path) {
  const boost::json::value* value = FindField(object, key);
  if (value == nullptr) {
    return absent;
  }
  return AsBool(*value, JoinPath(path, key));
}

std::string JoinPath(std::string_view path, std::string_view key) {
  std::string joined(path);
  if (!joined.empty()) {
    joined += '.';
  }
  return joined.append(key);
}

std::string IndexPath(std::string_view path, size_t index) {
  return absl::StrFormat("%s[%d]", path, index);
}

}  // namespace hadal
