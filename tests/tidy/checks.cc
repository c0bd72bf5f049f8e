#include "tests/tidy/checks.h"

#include <algorithm>
#include <utility>

namespace hadal::tidy {
namespace {

constexpr int64_t kMaxColumns = 100;
constexpr int64_t kMaxNouns = 15;

// The snippets that tests feed to the rules break them on purpose.
constexpr std::string_view kTidyFolder = "tests/tidy";

int64_t SizeLimit(std::string_view path) {
  if (IsHeader(path)) {
    return 200;
  }
  if (path.ends_with(".cu") || (path.ends_with(".cc") && IsUnder(path, "tests"))) {
    return 600;
  }
  return 500;
}

int64_t CountColumns(std::string_view line) {
  // Bytes that do not continue a character.
  return std::count_if(
      line.begin(), line.end(), [](char c) { return (static_cast<uint8_t>(c) & 0xC0U) != 0x80U; });
}

bool IsWordCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

// True when `word` occurs in `line` and is not a part of a longer one.
bool HasWord(std::string_view line, std::string_view word) {
  for (size_t at = line.find(word); at != std::string_view::npos; at = line.find(word, at + 1)) {
    const size_t end = at + word.size();
    const bool begins = at == 0 || !IsWordCharacter(word.front()) || !IsWordCharacter(line[at - 1]);
    const bool ends =
        end == line.size() || !IsWordCharacter(word.back()) || !IsWordCharacter(line[end]);
    if (begins && ends) {
      return true;
    }
  }
  return false;
}

bool HasBareTodo(std::string_view line) {
  const size_t at = line.find("TODO");
  if (at == std::string_view::npos) {
    return false;
  }
  const std::string_view rest = line.substr(at + 4);
  const size_t end = rest.find_first_not_of("0123456789", 2);
  return !rest.starts_with("(#") || end == 2 || end == std::string_view::npos || rest[end] != ')';
}

std::string ResolveLink(std::string_view folder, std::string_view target) {
  std::vector<std::string_view> parts;
  const std::string whole = std::string(folder) + "/" + std::string(target);
  std::string_view rest = whole;
  while (!rest.empty()) {
    const size_t slash = std::min(rest.find('/'), rest.size());
    const std::string_view part = rest.substr(0, slash);
    rest.remove_prefix(std::min(slash + 1, rest.size()));
    if (part == ".." && !parts.empty()) {
      parts.pop_back();
    } else if (!part.empty() && part != ".") {
      parts.push_back(part);
    }
  }
  std::string path;
  for (const std::string_view part : parts) {
    if (!path.empty()) {
      path += '/';
    }
    path += part;
  }
  return path;
}

bool ExistsIn(const SourceTree& tree, const std::string& path) {
  if (path.empty() || tree.contains(path)) {
    return true;
  }
  const auto below = tree.lower_bound(path + "/");
  return below != tree.end() && IsUnder(below->first, path);
}

}  // namespace

absl::StatusOr<Limits> ParseLimits(std::string_view text) {
  Limits limits;
  for (const std::string& entry : EntriesOf(text)) {
    const std::vector<std::string> words = WordsOf(entry);
    if (words.size() < 3 || words[1].find_first_not_of("0123456789") != std::string::npos) {
      return InvalidArgument("\"%s\": expected a path, a number and a reason", entry);
    }
    limits[words[0]] = std::stoll(words[1]);
  }
  return limits;
}

Findings CheckSize(const SourceFile& file, const Limits& limits) {
  if (!IsCpp(file.path) && !IsPython(file.path)) {
    return {};
  }
  const auto exception = limits.find(file.path);
  const int64_t limit = exception == limits.end() ? SizeLimit(file.path) : exception->second;
  const int64_t num_lines = std::ssize(LinesOf(file.text));
  if (num_lines <= limit) {
    return {};
  }
  return {
      {file.path,
       num_lines,
       absl::StrFormat("%d lines; the limit is %d: split by responsibility", num_lines, limit)}};
}

std::set<std::string> OpsOfTable(const SourceTree& tree) {
  std::set<std::string> ops;
  const auto table = tree.find("kernels/kernel_table.h");
  if (table == tree.end()) {
    return ops;
  }
  constexpr std::string_view kVisit = "visit(\"";
  const std::string& text = table->second.text;
  for (size_t at = text.find(kVisit); at != std::string::npos; at = text.find(kVisit, at + 1)) {
    const size_t begin = at + kVisit.size();
    ops.insert(text.substr(begin, text.find('"', begin) - begin));
  }
  return ops;
}

Findings CheckFolders(const SourceTree& tree,
                      const std::set<std::string>& ops,
                      const Limits& limits) {
  static const std::set<std::string_view> kEmptyNouns = {
      "common", "util", "utils", "misc", "helper", "helpers"};
  Findings findings;
  std::map<std::string, std::set<std::string>> nouns;
  for (const auto& [path, file] : tree) {
    if (!IsCpp(path) && !IsPython(path)) {
      continue;
    }
    const std::string noun(NounOf(path));
    const std::string folder(FolderOf(path));
    if (kEmptyNouns.contains(noun) ||
        kEmptyNouns.contains(std::string_view(folder).substr(folder.rfind('/') + 1))) {
      findings.push_back({path, 1, "name what it is: not common, utils, misc or helpers"});
    }
    if (!ops.contains(noun)) {
      nouns[folder].insert(noun);
    }
  }
  for (const auto& [folder, names] : nouns) {
    const auto exception = limits.find(folder);
    const int64_t limit = exception == limits.end() ? kMaxNouns : exception->second;
    if (std::ssize(names) > limit) {
      findings.push_back(
          {folder,
           1,
           absl::StrFormat("%d nouns; the limit is %d: make a sub-folder", names.size(), limit)});
    }
  }
  return findings;
}

Findings CheckTwins(const SourceTree& tree, const std::set<std::string>& ops) {
  Findings findings;
  const std::string list = "kernels/coverage.txt";
  std::set<std::string> excused;
  if (const auto file = tree.find(list); file != tree.end()) {
    for (const std::string& entry : EntriesOf(file->second.text)) {
      const std::vector<std::string> words = WordsOf(entry);
      const std::string path = "kernels/" + words[0];
      excused.insert(path);
      if (words.size() < 2) {
        findings.push_back({list, 1, words[0] + ": give a reason"});
      }
      if (tree.contains(path)) {
        findings.push_back({list, 1, words[0] + " exists: remove its line"});
      }
      if (!ops.contains(std::string(NounOf(path)))) {
        findings.push_back({list, 1, words[0] + " is no op of kernels/kernel_table.h"});
      }
    }
  }
  for (const std::string& op : ops) {
    for (const std::string& twin : {"kernels/reference/" + op + ".cc",
                                    "kernels/cpu/" + op + ".cc",
                                    "kernels/cuda/" + op + ".cu"}) {
      if (!tree.contains(twin) && !excused.contains(twin)) {
        findings.push_back({twin, 1, "missing: write it, or say why not in " + list});
      }
    }
  }
  return findings;
}

absl::StatusOr<Words> ParseWords(std::string_view text) {
  Words words;
  for (const std::string& entry : EntriesOf(text)) {
    std::vector<std::string> fields;
    std::string_view rest = entry;
    while (true) {
      const size_t bar = rest.find(" | ");
      fields.emplace_back(rest.substr(0, bar));
      if (bar == std::string_view::npos) {
        break;
      }
      rest.remove_prefix(bar + 3);
    }
    if (fields.size() == 4 && fields[0] == "allow") {
      words.allowed[fields[1]].insert(fields[2]);
    } else if (fields.size() == 3) {
      words.banned.push_back(
          {.word = fields[0], .instead = fields[1], .folders = WordsOf(fields[2])});
    } else {
      return InvalidArgument(
          "\"%s\": expected word | instead | folders, or allow | word | path | reason", entry);
    }
  }
  return words;
}

Findings CheckWords(const SourceFile& file, const Words& words) {
  Findings findings;
  if (!IsCpp(file.path) || IsUnder(file.path, kTidyFolder)) {
    return findings;
  }
  const std::string code = StripCommentsAndLiterals(file.text);
  for (const BannedWord& banned : words.banned) {
    const auto allowed = words.allowed.find(banned.word);
    const bool applies =
        std::any_of(banned.folders.begin(),
                    banned.folders.end(),
                    [&](const std::string& f) { return f == "*" || IsUnder(file.path, f); }) &&
        (allowed == words.allowed.end() || !allowed->second.contains(file.path));
    int64_t number = 0;
    for (const std::string_view line : LinesOf(code)) {
      ++number;
      if (applies && HasWord(line, banned.word)) {
        findings.push_back({file.path, number, banned.word + ": use " + banned.instead});
      }
    }
  }
  return findings;
}

Findings CheckForm(const SourceFile& file) {
  Findings findings;
  const bool is_code = IsCpp(file.path) || IsCMake(file.path) || IsPython(file.path);
  if (!is_code && !IsMarkdown(file.path)) {
    return findings;
  }
  const std::vector<std::string_view> lines = LinesOf(file.text);
  int64_t number = 0;
  for (const std::string_view line : lines) {
    ++number;
    const auto report = [&](std::string text) {
      findings.push_back({file.path, number, std::move(text)});
    };
    if (line.ends_with(' ') || line.ends_with('\r')) {
      report("space at the end of the line");
    }
    if (line.find('\t') != std::string_view::npos) {
      report("tab");
    }
    if (is_code && CountColumns(line) > kMaxColumns) {
      report(absl::StrFormat("%d columns; the limit is %d", CountColumns(line), kMaxColumns));
    }
    if (is_code && !IsUnder(file.path, kTidyFolder) && HasBareTodo(line)) {
      report("TODO without an issue: write TODO(#123)");
    }
  }
  if (!file.text.empty() && (!file.text.ends_with('\n') || file.text.ends_with("\n\n"))) {
    findings.push_back({file.path, number, "the file must end with one line feed"});
  }
  if (IsHeader(file.path) && (lines.empty() || lines.front() != "#pragma once")) {
    findings.push_back({file.path, 1, "#pragma once must be the first line"});
  }
  return findings;
}

Findings CheckTypeNames(const SourceTree& tree) {
  Findings findings;
  std::map<std::string, std::string> paths;  // of definitions, by "namespace::name"
  for (const auto& [path, file] : tree) {
    if (!IsHeader(path)) {
      continue;
    }
    const std::string code = StripCommentsAndLiterals(file.text);
    std::string scope;
    int64_t number = 0;
    for (const std::string_view line : LinesOf(code)) {
      ++number;
      const std::vector<std::string> words = WordsOf(line);
      if (line.starts_with("namespace ") && words.back() == "{") {
        scope = words[1];
      } else if ((line.starts_with("class ") || line.starts_with("struct ")) &&
                 line.ends_with('{')) {
        const std::string name = scope + "::" + words[1];
        const auto [first, is_new] = paths.emplace(name, path);
        if (!is_new) {
          findings.push_back({path, number, name + " is also defined in " + first->second});
        }
      }
    }
  }
  return findings;
}

Findings CheckLinks(const SourceFile& file, const SourceTree& tree) {
  Findings findings;
  if (!IsMarkdown(file.path)) {
    return findings;
  }
  bool in_code = false;
  int64_t number = 0;
  for (const std::string_view line : LinesOf(file.text)) {
    ++number;
    if (line.starts_with("```")) {
      in_code = !in_code;
    }
    for (size_t at = line.find("]("); !in_code && at != std::string_view::npos;
         at = line.find("](", at + 1)) {
      const std::string_view link = line.substr(at + 2, line.find(')', at) - at - 2);
      const std::string_view target = link.substr(0, link.find_first_of("# "));
      if (target.empty() || target.find(':') != std::string_view::npos) {
        continue;
      }
      if (!ExistsIn(tree, ResolveLink(FolderOf(file.path), target))) {
        findings.push_back({file.path, number, "no such file: " + std::string(target)});
      }
    }
  }
  return findings;
}

absl::StatusOr<Findings> CheckTree(const SourceTree& tree) {
  const auto list = [&tree](const std::string& path) -> std::string_view {
    const auto found = tree.find(path);
    return found == tree.end() ? std::string_view() : std::string_view(found->second.text);
  };
  ASSIGN_OR_RETURN(const Layers layers, ParseLayers(list("tests/tidy/layers.txt")));
  ASSIGN_OR_RETURN(const Limits limits, ParseLimits(list("tests/tidy/limits.txt")));
  ASSIGN_OR_RETURN(const Words words, ParseWords(list("tests/tidy/words.txt")));
  const std::set<std::string> ops = OpsOfTable(tree);
  Findings all = CheckFolders(tree, ops, limits);
  const auto add = [&all](const Findings& part) {
    all.insert(all.end(), part.begin(), part.end());
  };
  add(CheckTwins(tree, ops));
  add(CheckTypeNames(tree));
  for (const auto& [path, file] : tree) {
    add(CheckIncludes(file, tree, layers));
    add(CheckSize(file, limits));
    add(CheckWords(file, words));
    add(CheckForm(file));
    add(CheckLinks(file, tree));
  }
  for (const auto& [path, limit] : limits) {
    if (!ExistsIn(tree, path)) {
      all.push_back({"tests/tidy/limits.txt", 1, path + " does not exist: remove its line"});
    }
  }
  return all;
}

}  // namespace hadal::tidy
