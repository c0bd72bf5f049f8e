// The only file that knows yaml-cpp, which throws: all it throws ends here.

#include "server/config/yaml_reader.h"

#include <sstream>
#include <utility>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <absl/strings/str_format.h>

#include "base/utf8.h"

namespace hadal {
namespace {

int32_t LineOf(const YAML::Mark& mark) {
  return mark.line + 1;
}

// Takes a document's events, in order. Only the first error counts; what comes after it is ignored,
// however deep it is nested.
class SectionHandler final : public YAML::EventHandler {
 public:
  explicit SectionHandler(std::string name) : name_(std::move(name)) {}

  [[nodiscard]] const absl::Status& status() const { return status_; }
  YamlSections Take() { return std::move(sections_); }

  void OnDocumentStart(const YAML::Mark& /*mark*/) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (!CheckAnchor(mark, anchor)) {
      return;
    }
    if (place_ == Place::kDocument) {
      place_ = Place::kEnd;
    } else if (place_ == Place::kSection) {
      place_ = Place::kSectionName;  // a section without keys
    } else if (place_ == Place::kValue) {
      Fail(entry_.line, PathOfKey() + ": expected a value, found none");  // the mark is behind it
    } else {
      Fail(LineOf(mark), "expected a text, found nothing");
    }
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t /*anchor*/) override {
    Fail(LineOf(mark), "aliases are not supported");
  }

  void OnScalar(const YAML::Mark& mark,
                const std::string& tag,
                YAML::anchor_t anchor,
                const std::string& value) override {
    // "?" is the tag of plain scalars, "!" that of quoted ones.
    if (!CheckAnchor(mark, anchor) || !CheckTag(mark, tag)) {
      return;
    }
    switch (place_) {
      case Place::kSectionName:
        sections_.sections.push_back({.name = value, .line = LineOf(mark)});
        place_ = Place::kSection;
        return;
      case Place::kKey:
        entry_ = {.section = SectionName(), .key = value, .value = {}, .line = LineOf(mark)};
        place_ = Place::kValue;
        return;
      case Place::kValue:
        entry_.value = {.texts = {value}, .is_list = false, .is_quoted = tag == "!"};
        EndEntry();
        return;
      case Place::kItem:
        entry_.value.texts.push_back(value);
        entry_.value.is_quoted = entry_.value.is_quoted && tag == "!";
        return;
      case Place::kDocument:
        Fail(LineOf(mark), "expected sections such as \"http:\", found a text");
        return;
      case Place::kSection:
        Fail(LineOf(mark), SectionName() + ": expected keys, found a text");
        return;
      case Place::kEnd:
        return;
    }
  }

  void OnSequenceStart(const YAML::Mark& mark,
                       const std::string& tag,
                       YAML::anchor_t anchor,
                       YAML::EmitterStyle::value /*style*/) override {
    if (!CheckAnchor(mark, anchor) || !CheckTag(mark, tag)) {
      return;
    }
    if (place_ == Place::kValue) {
      entry_.value = {.texts = {}, .is_list = true, .is_quoted = true};
      place_ = Place::kItem;
    } else {
      Fail(LineOf(mark), Unexpected("list"));
    }
  }

  void OnSequenceEnd() override {
    if (status_.ok()) {
      EndEntry();
    }
  }

  void OnMapStart(const YAML::Mark& mark,
                  const std::string& tag,
                  YAML::anchor_t anchor,
                  YAML::EmitterStyle::value /*style*/) override {
    if (!CheckAnchor(mark, anchor) || !CheckTag(mark, tag)) {
      return;
    }
    if (place_ == Place::kDocument) {
      place_ = Place::kSectionName;
    } else if (place_ == Place::kSection) {
      place_ = Place::kKey;
    } else {
      Fail(LineOf(mark), Unexpected("mapping"));
    }
  }

  void OnMapEnd() override {
    if (status_.ok()) {
      place_ = place_ == Place::kKey ? Place::kSectionName : Place::kEnd;
    }
  }

 private:
  // What may come next.
  enum class Place : int8_t { kDocument, kSectionName, kSection, kKey, kValue, kItem, kEnd };

  [[nodiscard]] std::string SectionName() const { return sections_.sections.back().name; }
  [[nodiscard]] std::string PathOfKey() const { return entry_.section + "." + entry_.key; }

  [[nodiscard]] std::string Unexpected(const std::string& found) const {
    switch (place_) {
      case Place::kDocument:
        return "expected sections such as \"http:\", found a " + found;
      case Place::kSectionName:
      case Place::kKey:
        return "expected a name, found a " + found;
      case Place::kSection:
        return SectionName() + ": expected keys, found a " + found;
      case Place::kValue:
      case Place::kItem:
        return PathOfKey() + ": expected " + (place_ == Place::kItem ? "texts" : "a value") +
               ", found a " + found;
      case Place::kEnd:
        break;
    }
    return "unexpected " + found;
  }

  void Fail(int32_t line, const std::string& message) {
    if (status_.ok()) {
      status_ = InvalidArgument("%s:%d: %s", name_, line, message);
    }
  }

  // False after any error, the anchor's or one before.
  bool CheckAnchor(const YAML::Mark& mark, YAML::anchor_t anchor) {
    if (anchor != 0) {
      Fail(LineOf(mark), "anchors are not supported");
    }
    return status_.ok();
  }

  bool CheckTag(const YAML::Mark& mark, const std::string& tag) {
    if (!tag.empty() && tag != "?" && tag != "!") {
      Fail(LineOf(mark), "tags are not supported");
    }
    return status_.ok();
  }

  void EndEntry() {
    sections_.entries.push_back(std::move(entry_));
    entry_ = {};
    place_ = Place::kKey;
  }

  const std::string name_;
  absl::Status status_;
  Place place_ = Place::kDocument;
  YamlEntry entry_;  // whose value comes next
  YamlSections sections_;
};

}  // namespace

absl::StatusOr<YamlSections> ReadYamlSections(std::string_view text, const std::string& name) {
  // yaml-cpp guesses other encodings from zero bytes and byte order marks of UTF-16.
  if (ValidUtf8Prefix(text) != text.size() || text.find('\0') != std::string_view::npos) {
    return InvalidArgument("%s: the file is not text in UTF-8", name);
  }
  SectionHandler handler(name);
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    const bool has_document = parser.HandleNextDocument(handler);
    RETURN_IF_ERROR(handler.status());
    SectionHandler next(name);
    if (has_document && parser.HandleNextDocument(next)) {
      return InvalidArgument("%s: expected one document, found several", name);
    }
  } catch (const YAML::Exception& error) {
    RETURN_IF_ERROR(handler.status());
    return InvalidArgument("%s:%d: %s", name, LineOf(error.mark), error.msg);
  } catch (const std::exception& error) {
    return InvalidArgument("%s: %s", name, error.what());
  }
  return handler.Take();
}

}  // namespace hadal
