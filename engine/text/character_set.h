#pragma once

#include <array>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "engine/text/unicode_classes.h"

namespace hadal {

/// The characters that one atom of a pre-tokenizer's pattern matches: `[一-龥]`, `[\r\n]`, `\p{N}`.
/// Immutable; any thread.
class CharacterSet {
 public:
  /// Reads the atom at the start of `pattern` and removes it from there.
  /// Understood: `\p{L}`, `\p{M}`, `\p{N}`, `\p{P}`, `\p{S}` and `\s`, alone or in brackets; in
  /// brackets also characters, ranges, `\r`, `\n`, `\t` and escaped ASCII punctuation.
  /// Unimplemented for anything else (negation, nested sets, intersections, …).
  static absl::StatusOr<CharacterSet> Parse(std::string_view& pattern);

  [[nodiscard]] bool Contains(char32_t code_point) const {
    return code_point < ascii_.size() ? ascii_[code_point] : Search(code_point);
  }

 private:
  struct Range {
    char32_t first;
    char32_t last;
  };

  absl::Status AddItem(std::string_view& pattern);
  void Finish();
  [[nodiscard]] bool Search(char32_t code_point) const;

  CharClass classes_ = 0;
  std::vector<Range> ranges_;         // sorted, disjoint
  std::array<bool, 128> ascii_ = {};  // the answers for ASCII, ready
};

}  // namespace hadal
