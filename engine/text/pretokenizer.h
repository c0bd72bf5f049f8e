#pragma once

#include <string_view>
#include <variant>
#include <vector>

#include <absl/functional/function_ref.h>
#include <boost/json/value.hpp>

#include "base/json_fields.h"
#include "base/status.h"
#include "engine/text/pattern_matcher.h"

namespace hadal {

/// Cuts text into the words that byte-pair encoding works on. Built from the `pre_tokenizer` of a
/// tokenizer.json: steps, each applied to every piece that the step before it left. Immutable; any
/// thread. Linear time.
class Pretokenizer {
 public:
  /// Whether a blank is put in front of a text that does not begin with one.
  enum class PrefixSpace { kNever, kAdd };

  /// Understands Sequence, Split (Regex, Isolated, with DeepSeek-V3's pattern, `\s+$` or a run
  /// pattern such as `\p{N}{1,3}`, `[class]+`, `\s?[class]+`), Digits, and ByteLevel as the last
  /// step. InvalidArgument for a malformed value, Unimplemented for any other step, pattern or
  /// option; messages name the field.
  static absl::StatusOr<Pretokenizer> FromJson(const boost::json::value& pre_tokenizer);

  /// Calls `emit` with the non-empty words of `text`, in order; together they are `text`.
  /// REQUIRES: `text` is valid UTF-8, with the blank of `prefix_space` already in place.
  void Split(std::string_view text, absl::FunctionRef<void(std::string_view)> emit) const;

  [[nodiscard]] PrefixSpace prefix_space() const { return prefix_space_; }

 private:
  struct TrailingSpace {};
  struct DeepSeekV3 {};
  struct Gpt2 {};
  /// Characters of Rust's `char::is_numeric`, one by one or in runs.
  struct Digits {
    enum class Grouping { kSingle, kRun };
    Grouping grouping;
  };
  using Step = std::variant<RunPattern, TrailingSpace, DeepSeekV3, Gpt2, Digits>;

  absl::Status AddStep(const JsonFields& step);
  absl::Status AddSplit(const JsonFields& split);
  absl::Status AddDigits(const JsonFields& digits);
  absl::Status AddByteLevel(const JsonFields& byte_level);
  static Match FindNext(const Step& step, std::string_view text, size_t from);
  void SplitFrom(size_t step,
                 std::string_view text,
                 absl::FunctionRef<void(std::string_view)> emit) const;

  std::vector<Step> steps_;
  PrefixSpace prefix_space_ = PrefixSpace::kNever;
};

}  // namespace hadal
