#include "tests/tidy/layers.h"

#include <algorithm>

namespace hadal::tidy {
namespace {

using Allowed = std::map<std::string, std::vector<std::string>>;

// The entry for the longest folder (or file) that holds `path`, or null.
const std::pair<const std::string, std::vector<std::string>>* RuleFor(const Allowed& rules,
                                                                      std::string_view path) {
  const std::pair<const std::string, std::vector<std::string>>* best = nullptr;
  for (const auto& rule : rules) {
    if (IsUnder(path, rule.first) && (best == nullptr || rule.first.size() > best->first.size())) {
      best = &rule;
    }
  }
  return best;
}

bool AnyHolds(const std::vector<std::string>& folders, std::string_view path) {
  return std::any_of(
      folders.begin(), folders.end(), [path](const auto& f) { return IsUnder(path, f); });
}

std::string CheckOwn(const std::string& from,
                     const std::string& included,
                     const SourceTree& tree,
                     const Layers& layers) {
  if (!AnyHolds(layers.generated, included) && !tree.contains(included)) {
    return "\"" + included + "\" is no path from the root";
  }
  const auto* rule = RuleFor(layers.includes, from);
  if (rule == nullptr) {
    return "tests/tidy/layers.txt has no line for this folder";
  }
  const auto& folders = rule->second;
  const bool all_but_tests = std::find(folders.begin(), folders.end(), "*") != folders.end() &&
                             !IsUnder(included, "tests");
  if (IsUnder(included, rule->first) || all_but_tests || AnyHolds(folders, included)) {
    return "";
  }
  return rule->first + " must not include " + included;
}

std::string CheckThirdParty(const std::string& from,
                            const std::string& included,
                            const Layers& layers) {
  const bool is_standard = included.find_first_of("./") == std::string::npos;
  if (is_standard || AnyHolds(layers.system, included)) {
    return "";
  }
  // Code for nvcc is held to the rules of headers.
  const bool as_header = IsHeader(from) || from.ends_with(".cu");
  const auto* rule = RuleFor(as_header ? layers.header_libs : layers.source_libs, from);
  if (rule != nullptr && AnyHolds(rule->second, included)) {
    return "";
  }
  return std::string(as_header ? "headers" : "sources") + " here must not include <" + included +
         ">";
}

}  // namespace

absl::StatusOr<Layers> ParseLayers(std::string_view text) {
  Layers layers;
  for (const std::string& entry : EntriesOf(text)) {
    const size_t colon = entry.find(':');
    if (colon == std::string::npos) {
      return InvalidArgument("\"%s\": expected a colon", entry);
    }
    const std::vector<std::string> key = WordsOf(entry.substr(0, colon));
    const std::vector<std::string> values = WordsOf(entry.substr(colon + 1));
    if (key == std::vector<std::string>{"system"}) {
      layers.system = values;
    } else if (key == std::vector<std::string>{"generated"}) {
      layers.generated = values;
    } else if (key.size() == 2 && key[0] == "include") {
      layers.includes[key[1]] = values;
    } else if (key.size() == 2 && key[0] == "headers") {
      layers.header_libs[key[1]] = values;
    } else if (key.size() == 2 && key[0] == "sources") {
      layers.source_libs[key[1]] = values;
    } else {
      return InvalidArgument(
          "\"%s\": expected system, generated, or include, headers or sources with a folder",
          entry);
    }
  }
  return layers;
}

std::vector<Finding> CheckIncludes(const SourceFile& file,
                                   const SourceTree& tree,
                                   const Layers& layers) {
  std::vector<Finding> findings;
  if (!IsCpp(file.path)) {
    return findings;
  }
  int64_t number = 0;
  for (const std::string_view line : LinesOf(file.text)) {
    ++number;
    if (!line.starts_with("#include ") || line.size() < 11) {
      continue;
    }
    const char closing = line[9] == '<' ? '>' : '"';
    const std::string included(line.substr(10, line.find(closing, 10) - 10));
    const std::string problem = line[9] == '<' ? CheckThirdParty(file.path, included, layers)
                                               : CheckOwn(file.path, included, tree, layers);
    if (!problem.empty()) {
      findings.push_back({file.path, number, problem});
    }
  }
  return findings;
}

}  // namespace hadal::tidy
