#pragma once

// Typed access to the members of JSON objects from outside. Every function names the field, by its
// whole path, in its InvalidArgument.

#include <optional>
#include <string>
#include <string_view>

#include <boost/json/value.hpp>

#include "base/status.h"

namespace hadal {

/// `value` as an object; `path` says where it stands, such as "messages[2]".
absl::StatusOr<const boost::json::object*> AsObject(const boost::json::value& value,
                                                    std::string_view path);

/// `value` as an array.
absl::StatusOr<const boost::json::array*> AsArray(const boost::json::value& value,
                                                  std::string_view path);

/// `value` as a string; the view lives as long as the value.
absl::StatusOr<std::string_view> AsString(const boost::json::value& value, std::string_view path);

/// `value` as a bool.
absl::StatusOr<bool> AsBool(const boost::json::value& value, std::string_view path);

/// The member `key`, or null when it is missing or JSON null.
const boost::json::value* FindField(const boost::json::object& object, std::string_view key);

/// The member `key`. InvalidArgument "path.key: missing" when FindField gives null.
absl::StatusOr<const boost::json::value*> RequireField(const boost::json::object& object,
                                                       std::string_view key,
                                                       std::string_view path);

/// The string member `key`.
absl::StatusOr<std::string_view> RequireString(const boost::json::object& object,
                                               std::string_view key,
                                               std::string_view path);

/// The bool member `key`, or `absent` when it is missing or null.
absl::StatusOr<bool> BoolOr(const boost::json::object& object,
                            std::string_view key,
                            bool absent,
                            std::string_view path);

/// "path.key", or "key" when `path` is empty.
std::string JoinPath(std::string_view path, std::string_view key);

/// "path[index]".
std::string IndexPath(std::string_view path, size_t index);

}  // namespace hadal
