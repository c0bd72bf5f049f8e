#pragma once

// Typed access to JSON from outside. Every error names the value by its whole path, as in
// `messages[2].content: expected a string, found 7`.

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include <boost/json/value.hpp>

#include "base/status.h"

namespace hadal {

/// Bounds of a number, both included.
template <typename T>
struct FieldRange {
  T min;
  T max;
};

/// The members of one JSON object. Every getter returns InvalidArgument `path.key: expected …,
/// found …` for a value of another type or outside its bounds; those without a fallback do so for a
/// key that is absent or null, too, while those with one return it. Borrows the object.
class JsonFields {
 public:
  /// `path` names the object; it is empty for the outermost one.
  JsonFields(const boost::json::object& object, std::string path)
      : object_(&object), path_(std::move(path)) {}

  /// The members of `value`. InvalidArgument unless it is an object; `name` stands for an empty
  /// `path` there.
  static absl::StatusOr<JsonFields> Of(const boost::json::value& value,
                                       std::string path,
                                       std::string_view name);

  /// The value of `key`; null when it is absent or JSON null.
  [[nodiscard]] const boost::json::value* Find(std::string_view key) const;

  /// The value of `key`, of any type but null.
  [[nodiscard]] absl::StatusOr<const boost::json::value*> Value(std::string_view key) const;

  [[nodiscard]] absl::StatusOr<int64_t> Int(std::string_view key, FieldRange<int64_t> range) const;
  [[nodiscard]] absl::StatusOr<int64_t> IntOr(std::string_view key,
                                              FieldRange<int64_t> range,
                                              int64_t fallback) const;

  /// 0 when `key` is null; absent is an error, since the two mean different things to readers.
  [[nodiscard]] absl::StatusOr<int64_t> IntOrNull(std::string_view key,
                                                  FieldRange<int64_t> range) const;

  /// Integers are numbers too: 40 reads as 40.0.
  [[nodiscard]] absl::StatusOr<double> Number(std::string_view key, FieldRange<double> range) const;
  [[nodiscard]] absl::StatusOr<double> NumberOr(std::string_view key,
                                                FieldRange<double> range,
                                                double fallback) const;

  [[nodiscard]] absl::StatusOr<bool> BoolOr(std::string_view key, bool fallback) const;

  /// The view lives as long as the object.
  [[nodiscard]] absl::StatusOr<std::string_view> String(std::string_view key) const;
  [[nodiscard]] absl::StatusOr<std::string_view> StringOr(std::string_view key,
                                                          std::string_view fallback) const;

  [[nodiscard]] absl::StatusOr<const boost::json::array*> Array(std::string_view key) const;

  [[nodiscard]] absl::StatusOr<JsonFields> Object(std::string_view key) const;

  /// The object at `key`; null when the key is absent or null.
  [[nodiscard]] absl::StatusOr<const boost::json::object*> ObjectOrNull(std::string_view key) const;

  /// Unimplemented, naming the key, unless every key is one of `known`.
  [[nodiscard]] absl::Status CheckKnownKeys(std::initializer_list<std::string_view> known) const;

  /// `path.key`, for messages.
  [[nodiscard]] std::string PathOf(std::string_view key) const;

  /// InvalidArgument `path.key: expected <expected>, found <value of key>`.
  [[nodiscard]] absl::Status Unexpected(std::string_view key, std::string_view expected) const;

  /// Unimplemented `path.key: only <supported> is supported, found <value of key>`.
  [[nodiscard]] absl::Status Unsupported(std::string_view key, std::string_view supported) const;

  [[nodiscard]] const boost::json::object& object() const { return *object_; }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  const boost::json::object* object_;
  std::string path_;
};

/// `value` as an array; `path` names it.
absl::StatusOr<const boost::json::array*> ReadArray(const boost::json::value& value,
                                                    std::string_view path);

/// `value` as a string; the view lives as long as the value.
absl::StatusOr<std::string_view> ReadString(const boost::json::value& value, std::string_view path);

/// `path[index]`, for messages.
std::string PathOfItem(std::string_view path, size_t index);

/// `value` for a message: scalars as JSON, long strings cut, arrays and objects by their kind.
std::string DescribeJson(const boost::json::value& value);

}  // namespace hadal
