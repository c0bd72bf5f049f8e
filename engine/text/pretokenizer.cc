#include "engine/text/pretokenizer.h"

#include <limits>
#include <string>
#include <utility>

#include "base/json_fields.h"

namespace hadal {
namespace {

constexpr const char* kPath = "pre_tokenizer";
constexpr std::string_view kTrailingSpacePattern = R"(\s+$)";
constexpr int64_t kUnbounded = std::numeric_limits<int64_t>::max();

// A match found by trying `match_at(text, begin)` at each character from `from` on.
template <typename MatchAt>
Match Search(std::string_view text, size_t from, MatchAt match_at) {
  size_t begin = from;
  while (begin < text.size()) {
    const size_t end = match_at(text, begin);
    if (end > begin) {
      return {begin, end};
    }
    begin += CharAt(text, begin).num_bytes;
  }
  return {begin, begin};
}

// Nothing: exactly one. `+`: any number. `{1,n}` with one digit n: up to n.
absl::StatusOr<int64_t> ParseRepeat(std::string_view repeat) {
  if (repeat.empty()) {
    return 1;
  }
  if (repeat == "+") {
    return kUnbounded;
  }
  if (repeat.size() == 5 && repeat.starts_with("{1,") && repeat[4] == '}' && repeat[3] >= '1' &&
      repeat[3] <= '9') {
    return repeat[3] - '0';
  }
  return Unimplemented("repetition \"%s\"", repeat);
}

absl::StatusOr<RunPattern> ParseRunPattern(std::string_view pattern) {
  constexpr std::string_view kOptionalSpace = R"(\s?)";
  RunPattern run;
  if (pattern.starts_with(kOptionalSpace)) {
    pattern.remove_prefix(kOptionalSpace.size());
    run.leading_space = RunPattern::LeadingSpace::kOptional;
  }
  ASSIGN_OR_RETURN(run.atom, CharacterSet::Parse(pattern));
  ASSIGN_OR_RETURN(run.max_repeat, ParseRepeat(pattern));
  return run;
}

}  // namespace

absl::StatusOr<Pretokenizer> Pretokenizer::FromJson(const boost::json::value& pre_tokenizer) {
  Pretokenizer result;
  ASSIGN_OR_RETURN(const JsonFields fields, JsonFields::Of(pre_tokenizer, kPath, ""));
  ASSIGN_OR_RETURN(const std::string_view type, fields.String("type"));
  if (type == "ByteLevel") {
    RETURN_IF_ERROR(result.AddByteLevel(fields));
    return result;
  }
  if (type != "Sequence") {
    return Unimplemented("%s.type: \"%s\" without a ByteLevel step", kPath, type);
  }
  ASSIGN_OR_RETURN(const boost::json::array* array, fields.Array("pretokenizers"));
  if (array->empty()) {
    return Unimplemented("%s.pretokenizers: no ByteLevel step", kPath);
  }
  for (size_t i = 0; i < array->size(); ++i) {
    const std::string path = PathOfItem(fields.PathOf("pretokenizers"), i);
    ASSIGN_OR_RETURN(const JsonFields step, JsonFields::Of((*array)[i], path, ""));
    ASSIGN_OR_RETURN(const std::string_view step_type, step.String("type"));
    const bool is_last = i + 1 == array->size();
    if ((step_type == "ByteLevel") != is_last) {
      return Unimplemented("%s: ByteLevel must be the last step and no other", path);
    }
    RETURN_IF_ERROR(result.AddStep(step));
    if (is_last && i > 0 && result.prefix_space_ == PrefixSpace::kAdd) {
      return Unimplemented("%s.add_prefix_space: after other steps", path);
    }
  }
  return result;
}

absl::Status Pretokenizer::AddStep(const JsonFields& step) {
  ASSIGN_OR_RETURN(const std::string_view type, step.String("type"));
  if (type == "Split") {
    return AddSplit(step);
  }
  if (type == "Digits") {
    return AddDigits(step);
  }
  if (type == "ByteLevel") {
    return AddByteLevel(step);
  }
  return Unimplemented("%s: \"%s\"", step.PathOf("type"), type);
}

absl::Status Pretokenizer::AddSplit(const JsonFields& split) {
  ASSIGN_OR_RETURN(const std::string_view behavior, split.String("behavior"));
  ASSIGN_OR_RETURN(const bool invert, split.BoolOr("invert", false));
  if (behavior != "Isolated" || invert) {
    return Unimplemented(
        "%s: behavior \"%s\"%s", split.path(), behavior, invert ? ", inverted" : "");
  }
  ASSIGN_OR_RETURN(const JsonFields pattern, split.Object("pattern"));
  if (pattern.Find("Regex") == nullptr) {
    return Unimplemented("%s: not a Regex", pattern.path());
  }
  ASSIGN_OR_RETURN(const std::string_view regex, pattern.String("Regex"));
  if (regex == kDeepSeekV3Pattern) {
    steps_.emplace_back(DeepSeekV3{});
  } else if (regex == kTrailingSpacePattern) {
    steps_.emplace_back(TrailingSpace{});
  } else {
    absl::StatusOr<RunPattern> run = ParseRunPattern(regex);
    if (!run.ok()) {
      return Unimplemented(
          "%s: \"%s\": %s", pattern.PathOf("Regex"), regex, MessageOf(run.status()));
    }
    steps_.emplace_back(*std::move(run));
  }
  return absl::OkStatus();
}

absl::Status Pretokenizer::AddDigits(const JsonFields& digits) {
  ASSIGN_OR_RETURN(const bool single, digits.BoolOr("individual_digits", false));
  steps_.emplace_back(Digits{single ? Digits::Grouping::kSingle : Digits::Grouping::kRun});
  return absl::OkStatus();
}

absl::Status Pretokenizer::AddByteLevel(const JsonFields& byte_level) {
  // The defaults are those of the tokenizers package for a field that the file leaves out.
  ASSIGN_OR_RETURN(const bool use_regex, byte_level.BoolOr("use_regex", true));
  ASSIGN_OR_RETURN(const bool prefix, byte_level.BoolOr("add_prefix_space", true));
  if (use_regex) {
    steps_.emplace_back(Gpt2{});
  }
  prefix_space_ = prefix ? PrefixSpace::kAdd : PrefixSpace::kNever;
  return absl::OkStatus();
}

void Pretokenizer::Split(std::string_view text,
                         absl::FunctionRef<void(std::string_view)> emit) const {
  SplitFrom(0, text, emit);
}

void Pretokenizer::SplitFrom(size_t step,
                             std::string_view text,
                             absl::FunctionRef<void(std::string_view)> emit) const {
  if (step == steps_.size()) {
    if (!text.empty()) {
      emit(text);
    }
    return;
  }
  size_t done = 0;
  while (done < text.size()) {
    const Match match = FindNext(steps_[step], text, done);
    if (match.begin > done) {
      SplitFrom(step + 1, text.substr(done, match.begin - done), emit);
    }
    if (match.end > match.begin) {
      SplitFrom(step + 1, text.substr(match.begin, match.end - match.begin), emit);
    }
    done = match.end;
  }
}

Match Pretokenizer::FindNext(const Step& step, std::string_view text, size_t from) {
  if (const auto* run = std::get_if<RunPattern>(&step)) {
    return Search(
        text, from, [run](std::string_view t, size_t at) { return MatchRun(*run, t, at); });
  }
  if (std::holds_alternative<TrailingSpace>(step)) {
    return FindTrailingSpace(text, from);
  }
  if (std::holds_alternative<DeepSeekV3>(step)) {
    return Search(text, from, MatchDeepSeekV3);
  }
  if (std::holds_alternative<Gpt2>(step)) {
    return Search(text, from, MatchGpt2);
  }
  const bool single = std::get<Digits>(step).grouping == Digits::Grouping::kSingle;
  return Search(text, from, [single](std::string_view t, size_t at) {
    size_t end = at;
    while (end < t.size() && (end == at || !single)) {
      const ValidChar next = CharAt(t, end);
      if ((ClassOf(next.code_point) & kNumeric) == 0) {
        break;
      }
      end += next.num_bytes;
    }
    return end;
  });
}

}  // namespace hadal
