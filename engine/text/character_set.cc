#include "engine/text/character_set.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <optional>
#include <utility>

namespace hadal {
namespace {

constexpr std::array<std::pair<std::string_view, CharClass>, 6> kClassEscapes = {{
    {R"(\p{L})", kLetter},
    {R"(\p{M})", kMark},
    {R"(\p{N})", kNumber},
    {R"(\p{P})", kPunctuation},
    {R"(\p{S})", kSymbol},
    {R"(\s)", kSpace},
}};

CharClass TakeClassEscape(std::string_view& pattern) {
  for (const auto& [escape, char_class] : kClassEscapes) {
    if (pattern.starts_with(escape)) {
      pattern.remove_prefix(escape.size());
      return char_class;
    }
  }
  return 0;
}

bool IsAsciiPunctuation(char c) {
  return c > ' ' && c < 0x7F && (ClassOf(static_cast<char32_t>(c)) & (kPunctuation | kSymbol)) != 0;
}

// One literal character, escaped or not; nothing when its meaning is not a plain character.
std::optional<char32_t> TakeLiteral(std::string_view& pattern) {
  if (pattern.empty() || pattern.front() == '[' || pattern.starts_with("&&")) {
    return std::nullopt;
  }
  if (pattern.front() != '\\') {
    const ValidChar next = CharAt(pattern, 0);
    pattern.remove_prefix(next.num_bytes);
    return next.code_point;
  }
  if (pattern.size() < 2) {
    return std::nullopt;
  }
  const char escaped = pattern[1];
  pattern.remove_prefix(2);
  switch (escaped) {
    case 'r':
      return U'\r';
    case 'n':
      return U'\n';
    case 't':
      return U'\t';
    default:
      break;
  }
  return IsAsciiPunctuation(escaped) ? std::optional<char32_t>(escaped) : std::nullopt;
}

}  // namespace

absl::StatusOr<CharacterSet> CharacterSet::Parse(std::string_view& pattern) {
  CharacterSet set;
  if (!pattern.starts_with('[')) {
    set.classes_ = TakeClassEscape(pattern);
    if (set.classes_ == 0) {
      return Unimplemented("expected a character class at \"%s\"", pattern);
    }
    set.Finish();
    return set;
  }
  pattern.remove_prefix(1);
  if (pattern.starts_with('^') || pattern.starts_with(']')) {
    return Unimplemented("character class at \"[%s\"", pattern);
  }
  while (!pattern.starts_with(']')) {
    RETURN_IF_ERROR(set.AddItem(pattern));
  }
  pattern.remove_prefix(1);
  set.Finish();
  return set;
}

absl::Status CharacterSet::AddItem(std::string_view& pattern) {
  const std::string_view start = pattern;
  if (const CharClass char_class = TakeClassEscape(pattern); char_class != 0) {
    classes_ |= char_class;
    return absl::OkStatus();
  }
  const std::optional<char32_t> first = TakeLiteral(pattern);
  if (!first.has_value()) {
    return Unimplemented("character class item at \"%s\"", start);
  }
  std::optional<char32_t> last = first;
  if (pattern.starts_with('-') && !pattern.starts_with("-]")) {
    pattern.remove_prefix(1);
    last = TakeLiteral(pattern);
  }
  if (!last.has_value() || *last < *first) {
    return Unimplemented("character range at \"%s\"", start);
  }
  ranges_.push_back({*first, *last});
  return absl::OkStatus();
}

void CharacterSet::Finish() {
  std::sort(ranges_.begin(), ranges_.end(), [](const Range& a, const Range& b) {
    return a.first < b.first;
  });
  std::vector<Range> merged;
  for (const Range& range : ranges_) {
    if (!merged.empty() && range.first <= merged.back().last + 1) {
      merged.back().last = std::max(merged.back().last, range.last);
    } else {
      merged.push_back(range);
    }
  }
  ranges_ = std::move(merged);
  for (char32_t c = 0; c < ascii_.size(); ++c) {
    ascii_[c] = Search(c);
  }
}

bool CharacterSet::Search(char32_t code_point) const {
  if (classes_ != 0 && (ClassOf(code_point) & classes_) != 0) {
    return true;
  }
  const auto next = std::upper_bound(
      ranges_.begin(), ranges_.end(), code_point, [](char32_t c, const Range& range) {
        return c < range.first;
      });
  return next != ranges_.begin() && code_point <= std::prev(next)->last;
}

}  // namespace hadal
