#pragma once

// The patterns of DeepSeek's and GPT-2's pre-tokenizers as hand-written matchers, each with the
// meaning that Oniguruma gives the pattern (leftmost alternative first, greedy). They all take
// valid UTF-8 and the offset of a character in it. A matcher looks at no more than its match and a
// constant number of times at each character, so splitting is linear in the text.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "engine/text/character_set.h"

namespace hadal {

/// The third pattern of DeepSeek-V3's pre-tokenizer, as tokenizer.json writes it.
inline constexpr std::string_view kDeepSeekV3Pattern =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+)"
    "|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
    "| ?[\\p{P}\\p{S}]+[\r\n]*"
    "|\\s*[\r\n]+"
    "|\\s+(?!\\S)"
    "|\\s+";

/// The end of the match of kDeepSeekV3Pattern at `begin`; `begin` when there is none.
size_t MatchDeepSeekV3(std::string_view text, size_t begin);

/// The same for GPT-2's pattern, which a ByteLevel step with `use_regex` stands for:
/// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`.
size_t MatchGpt2(std::string_view text, size_t begin);

/// `atom{1,max_repeat}`, behind `\s?` when `leading_space` says so.
struct RunPattern {
  enum class LeadingSpace { kNone, kOptional };

  CharacterSet atom;
  LeadingSpace leading_space = LeadingSpace::kNone;
  int64_t max_repeat = 1;
};

/// The end of the match of `pattern` at `begin`; `begin` when there is none.
size_t MatchRun(const RunPattern& pattern, std::string_view text, size_t begin);

/// A non-empty match, or `begin == end == text.size()` when there is none.
struct Match {
  size_t begin;
  size_t end;
};

/// The first match at or after `from` of `\s+$`, where `$` is also true before each line feed.
Match FindTrailingSpace(std::string_view text, size_t from);

}  // namespace hadal
