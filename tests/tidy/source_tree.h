#pragma once

// The files of the repository, and the lists beside the tidy test.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace hadal::tidy {

struct SourceFile {
  std::string path;  // relative to the root, with '/'
  std::string text;
};

/// Path to file. A folder's files follow each other.
using SourceTree = std::map<std::string, SourceFile>;

/// Every file under `root`, except folders that git ignores or that begin with a dot. Only text of
/// the kinds that any rule reads is loaded; other files have an empty text.
absl::StatusOr<SourceTree> ReadSourceTree(const std::string& root);

/// What a rule found: printed as "path:line: text".
struct Finding {
  std::string path;
  int64_t line = 0;
  std::string text;

  bool operator==(const Finding&) const = default;
};

/// Lines without their line feeds.
std::vector<std::string_view> LinesOf(std::string_view text);

/// Words between spaces.
std::vector<std::string> WordsOf(std::string_view line);

/// Lines of a list that hold more than a comment (#), trimmed.
std::vector<std::string> EntriesOf(std::string_view text);

/// "engine/text" of "engine/text/bpe.cc"; "" of "README.md".
std::string_view FolderOf(std::string_view path);

/// "bpe" of "tests/engine/text/bpe_test.cc": the file name without extension and test suffix.
std::string_view NounOf(std::string_view path);

/// "cc", "h", … ; "" without a dot.
std::string_view ExtensionOf(std::string_view path);

bool IsCpp(std::string_view path);     // .h, .cc, .cu, .cuh
bool IsHeader(std::string_view path);  // .h, .cuh
bool IsCMake(std::string_view path);
bool IsPython(std::string_view path);
bool IsMarkdown(std::string_view path);

/// True when `path` is `prefix` or lies below it.
bool IsUnder(std::string_view path, std::string_view prefix);

/// C++ text with comments and the insides of literals replaced by spaces; lines stay.
std::string StripCommentsAndLiterals(std::string_view text);

}  // namespace hadal::tidy
