#include "engine/text/pattern_matcher.h"

#include <array>

namespace hadal {
namespace {

bool IsLineBreak(char32_t c) {
  return c == U'\r' || c == U'\n';
}

bool IsAsciiLetter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// The end of the longest run, from `begin`, of characters for which `belongs(char)` holds.
template <typename Predicate>
size_t RunEnd(std::string_view text, size_t begin, Predicate belongs) {
  size_t end = begin;
  while (end < text.size()) {
    const ValidChar next = CharAt(text, end);
    if (!belongs(next.code_point)) {
      break;
    }
    end += next.num_bytes;
  }
  return end;
}

size_t ClassRunEnd(std::string_view text, size_t begin, CharClass classes) {
  return RunEnd(text, begin, [classes](char32_t c) { return (ClassOf(c) & classes) != 0; });
}

// `\s+(?!\S)|\s+`: a run of spaces without its last one, unless that one ends the text or is alone.
size_t MatchSpaces(std::string_view text, size_t begin) {
  size_t end = begin;
  size_t last = begin;
  while (end < text.size()) {
    const ValidChar next = CharAt(text, end);
    if ((ClassOf(next.code_point) & kSpace) == 0) {
      return last > begin ? last : end;
    }
    last = end;
    end += next.num_bytes;
  }
  return end;
}

// `\s*[\r\n]+`: a run of spaces up to its last line break; `begin` when it has none.
size_t MatchLineBreaks(std::string_view text, size_t begin) {
  size_t end = begin;
  size_t after_break = begin;
  while (end < text.size()) {
    const ValidChar next = CharAt(text, end);
    if ((ClassOf(next.code_point) & kSpace) == 0) {
      break;
    }
    end += next.num_bytes;
    if (IsLineBreak(next.code_point)) {
      after_break = end;
    }
  }
  return after_break;
}

// `'s|'t|'re|'ve|'m|'ll|'d`; `begin` when none of them is there.
size_t MatchContraction(std::string_view text, size_t begin) {
  constexpr std::array<std::string_view, 7> kContractions = {
      "'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
  const std::string_view rest = text.substr(begin);
  for (const std::string_view contraction : kContractions) {
    if (rest.starts_with(contraction)) {
      return begin + contraction.size();
    }
  }
  return begin;
}

}  // namespace

size_t MatchDeepSeekV3(std::string_view text, size_t begin) {
  const ValidChar first = CharAt(text, begin);
  const CharClass classes = ClassOf(first.code_point);
  const size_t second = begin + first.num_bytes;
  const CharClass word = kLetter | kMark;
  const CharClass sign = kPunctuation | kSymbol;
  // 1. An ASCII sign and the ASCII letters behind it.
  if ((classes & sign) != 0 && first.num_bytes == 1) {
    size_t end = second;
    while (end < text.size() && IsAsciiLetter(text[end])) {
      ++end;
    }
    if (end > second) {
      return end;
    }
  }
  // 2. Letters and marks, with at most one other character in front that is not a letter, sign or
  //    line break. A leading mark may play either part; the match is the same.
  const bool may_lead = (classes & (kLetter | sign)) == 0 && !IsLineBreak(first.code_point);
  if (may_lead || (classes & word) != 0) {
    const size_t end = ClassRunEnd(text, second, word);
    if (end > second || (classes & word) != 0) {
      return end;
    }
  }
  // 3. Signs, with at most one blank in front, and the line breaks behind them.
  const size_t signs = first.code_point == U' ' ? second : begin;
  if (const size_t end = ClassRunEnd(text, signs, sign); end > signs) {
    return RunEnd(text, end, IsLineBreak);
  }
  // 4. to 6. Spaces.
  if ((classes & kSpace) == 0) {
    return begin;
  }
  const size_t end = MatchLineBreaks(text, begin);
  return end > begin ? end : MatchSpaces(text, begin);
}

size_t MatchGpt2(std::string_view text, size_t begin) {
  if (const size_t end = MatchContraction(text, begin); end > begin) {
    return end;
  }
  const size_t body = text[begin] == ' ' ? begin + 1 : begin;
  if (body < text.size()) {
    const CharClass classes = ClassOf(CharAt(text, body).code_point);
    if ((classes & (kLetter | kNumber)) != 0) {
      return ClassRunEnd(text, body, classes & (kLetter | kNumber));
    }
    if ((classes & kSpace) == 0) {
      return RunEnd(
          text, body, [](char32_t c) { return (ClassOf(c) & (kSpace | kLetter | kNumber)) == 0; });
    }
  }
  return MatchSpaces(text, begin);
}

size_t MatchRun(const RunPattern& pattern, std::string_view text, size_t begin) {
  const auto run_end = [&pattern, text](size_t from) {
    int64_t left = pattern.max_repeat;
    return RunEnd(text, from, [&pattern, &left](char32_t c) {
      return left-- > 0 && pattern.atom.Contains(c);
    });
  };
  if (pattern.leading_space == RunPattern::LeadingSpace::kOptional) {
    const ValidChar first = CharAt(text, begin);
    if ((ClassOf(first.code_point) & kSpace) != 0) {
      const size_t second = begin + first.num_bytes;
      if (const size_t end = run_end(second); end > second) {
        return end;
      }
    }
  }
  return run_end(begin);
}

Match FindTrailingSpace(std::string_view text, size_t from) {
  size_t begin = from;
  while (begin < text.size()) {
    const ValidChar first = CharAt(text, begin);
    if ((ClassOf(first.code_point) & kSpace) == 0) {
      begin += first.num_bytes;
      continue;
    }
    // The greedy run gives characters back until `$` holds: at the end of the text, or in front of
    // the last line feed that is not the run's first character.
    size_t end = begin + first.num_bytes;
    size_t before_feed = begin;
    while (end < text.size()) {
      const ValidChar next = CharAt(text, end);
      if (next.code_point == U'\n') {
        before_feed = end;
      }
      if ((ClassOf(next.code_point) & kSpace) == 0) {
        break;
      }
      end += next.num_bytes;
    }
    if (end == text.size()) {
      return {begin, end};
    }
    if (before_feed > begin) {
      return {begin, before_feed};
    }
    begin = end;
  }
  return {text.size(), text.size()};
}

}  // namespace hadal
