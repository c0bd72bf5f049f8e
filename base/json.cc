#include "base/json.h"

#include <unordered_set>
#include <utility>
#include <vector>

#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/value_stack.hpp>

#include "base/mapped_file.h"

namespace hadal {
namespace {

constexpr size_t kMaxDepth = 64;

// Objects hold each key once, so a value made of text with a duplicate has fewer members than the
// text. Counting finds that out cheaply; the keys are remembered, and the duplicate named, only
// when the counts differ.
enum class Keys { kCount, kRemember };

// The events of boost::json::basic_parser, built up to a value. Member names and constants are
// those that basic_parser looks for.
class StrictHandler {
 public:
  explicit StrictHandler(Keys keys) : keys_(keys) {}

  static constexpr size_t max_array_size = static_cast<size_t>(-1);   // NOLINT
  static constexpr size_t max_object_size = static_cast<size_t>(-1);  // NOLINT
  static constexpr size_t max_string_size = static_cast<size_t>(-1);  // NOLINT
  static constexpr size_t max_key_size = static_cast<size_t>(-1);     // NOLINT

  using Error = boost::json::error_code;
  using Text = boost::json::string_view;

  boost::json::value Release() { return stack_.release(); }

  /// The members that all objects of the text have, duplicates included.
  [[nodiscard]] size_t num_members() const { return num_members_; }

  /// The key that its object already held, or null; always null when keys are not remembered.
  [[nodiscard]] const std::string* duplicate_key() const {
    return found_duplicate_ ? &key_ : nullptr;
  }

  bool on_document_begin(Error& /*error*/) {  // NOLINT
    stack_.reset();
    return true;
  }
  bool on_document_end(Error& /*error*/) { return true; }  // NOLINT
  bool on_object_begin(Error& /*error*/) {                 // NOLINT
    if (keys_ == Keys::kRemember) {
      open_objects_.emplace_back();
    }
    return true;
  }
  bool on_object_end(size_t num_members, Error& /*error*/) {  // NOLINT
    if (keys_ == Keys::kRemember) {
      open_objects_.pop_back();
    }
    num_members_ += num_members;
    stack_.push_object(num_members);
    return true;
  }
  bool on_array_begin(Error& /*error*/) { return true; }   // NOLINT
  bool on_array_end(size_t num_items, Error& /*error*/) {  // NOLINT
    stack_.push_array(num_items);
    return true;
  }
  bool on_key_part(Text part, size_t /*size*/, Error& /*error*/) {  // NOLINT
    if (keys_ == Keys::kRemember) {
      key_.append(part.data(), part.size());
    }
    stack_.push_chars(part);
    return true;
  }
  bool on_key(Text part, size_t /*size*/, Error& error) {  // NOLINT
    if (keys_ == Keys::kRemember) {
      key_.append(part.data(), part.size());
      if (!open_objects_.back().insert(key_).second) {
        found_duplicate_ = true;
        error = boost::json::error::extra_data;
        return false;
      }
      key_.clear();
    }
    stack_.push_key(part);
    return true;
  }
  bool on_string_part(Text part, size_t /*size*/, Error& /*error*/) {  // NOLINT
    stack_.push_chars(part);
    return true;
  }
  bool on_string(Text part, size_t /*size*/, Error& /*error*/) {  // NOLINT
    stack_.push_string(part);
    return true;
  }
  bool on_number_part(Text /*part*/, Error& /*error*/) { return true; }  // NOLINT
  bool on_int64(int64_t value, Text /*text*/, Error& /*error*/) {        // NOLINT
    stack_.push_int64(value);
    return true;
  }
  bool on_uint64(uint64_t value, Text /*text*/, Error& /*error*/) {  // NOLINT
    stack_.push_uint64(value);
    return true;
  }
  bool on_double(double value, Text /*text*/, Error& /*error*/) {  // NOLINT
    stack_.push_double(value);
    return true;
  }
  bool on_bool(bool value, Error& /*error*/) {  // NOLINT
    stack_.push_bool(value);
    return true;
  }
  bool on_null(Error& /*error*/) {  // NOLINT
    stack_.push_null();
    return true;
  }
  bool on_comment_part(Text /*part*/, Error& /*error*/) { return true; }  // NOLINT
  bool on_comment(Text /*part*/, Error& /*error*/) { return true; }       // NOLINT

 private:
  Keys keys_;
  boost::json::value_stack stack_;
  size_t num_members_ = 0;
  std::vector<std::unordered_set<std::string>> open_objects_;
  std::string key_;
  bool found_duplicate_ = false;
};

// The members of all objects in `value`, which is nested at most kMaxDepth deep.
size_t CountMembers(const boost::json::value& value) {
  size_t num_members = 0;
  if (const boost::json::array* array = value.if_array()) {
    for (const boost::json::value& item : *array) {
      num_members += item.is_structured() ? CountMembers(item) : 0;
    }
  } else if (const boost::json::object* object = value.if_object()) {
    num_members = object->size();
    for (const auto& member : *object) {
      num_members += member.value().is_structured() ? CountMembers(member.value()) : 0;
    }
  }
  return num_members;
}

absl::StatusOr<boost::json::value> Parse(std::string_view text, Keys keys) {
  boost::json::parse_options options;
  options.max_depth = kMaxDepth;
  boost::json::basic_parser<StrictHandler> parser(options, keys);
  boost::json::error_code error;
  const size_t parsed = parser.write_some(false, text.data(), text.size(), error);
  if (const std::string* key = parser.handler().duplicate_key()) {
    return InvalidArgument("invalid JSON near byte %d: duplicate key \"%s\"", parsed, *key);
  }
  if (error) {
    return InvalidArgument("invalid JSON near byte %d: %s", parsed, error.message());
  }
  const size_t rest = text.find_first_not_of(" \t\r\n", parsed);
  if (rest != std::string_view::npos) {
    return InvalidArgument("invalid JSON near byte %d: text after the value", rest);
  }
  boost::json::value value = parser.handler().Release();
  if (keys == Keys::kCount && CountMembers(value) != parser.handler().num_members()) {
    return Parse(text, Keys::kRemember);
  }
  return value;
}

}  // namespace

absl::StatusOr<boost::json::value> ParseJson(std::string_view text) {
  return Parse(text, Keys::kCount);
}

absl::StatusOr<boost::json::value> ParseJsonFile(const std::string& path, size_t max_bytes) {
  ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path, max_bytes));
  absl::StatusOr<boost::json::value> value = ParseJson(text);
  if (!value.ok()) {
    return Annotate(value.status(), path);
  }
  return value;
}

}  // namespace hadal
