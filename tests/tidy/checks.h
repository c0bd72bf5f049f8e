#pragma once

// The rules of the house style that a program can check. Each is a pure function of the files it is
// given, so that each is tested on snippets (tidy_test.cc) before it is let loose on the tree.

#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/tidy/layers.h"
#include "tests/tidy/source_tree.h"

namespace hadal::tidy {

using Findings = std::vector<Finding>;

/// limits.txt: a path, its own limit in lines (of a folder: in nouns), and a reason.
using Limits = std::map<std::string, int64_t>;
absl::StatusOr<Limits> ParseLimits(std::string_view text);

/// Lines of one file.
Findings CheckSize(const SourceFile& file, const Limits& limits);

/// The op names that kernels/kernel_table.h visits.
std::set<std::string> OpsOfTable(const SourceTree& tree);

/// At most 15 nouns in a folder, ops aside, and none that says nothing.
Findings CheckFolders(const SourceTree& tree,
                      const std::set<std::string>& ops,
                      const Limits& limits);

/// Every op has its file in reference/, cpu/ and cuda/, or a line in kernels/coverage.txt. Lines of
/// which the file exists are findings too.
Findings CheckTwins(const SourceTree& tree, const std::set<std::string>& ops);

/// words.txt: a word, what to write instead, and where.
struct BannedWord {
  std::string word;
  std::string instead;
  std::vector<std::string> folders;  // "*" for all
};
struct Words {
  std::vector<BannedWord> banned;
  std::map<std::string, std::set<std::string>> allowed;  // word → paths
};
absl::StatusOr<Words> ParseWords(std::string_view text);

/// Banned words in code (not in comments and literals).
Findings CheckWords(const SourceFile& file, const Words& words);

/// Spaces, tabs, line length, last line feed, #pragma once, and to-dos without an issue.
Findings CheckForm(const SourceFile& file);

/// No two headers define a class of one name in one namespace: what the linker takes for one.
Findings CheckTypeNames(const SourceTree& tree);

/// Relative links of a Markdown file lead to files or folders.
Findings CheckLinks(const SourceFile& file, const SourceTree& tree);

/// All of the above over a tree, with the lists that lie in it.
absl::StatusOr<Findings> CheckTree(const SourceTree& tree);

}  // namespace hadal::tidy
