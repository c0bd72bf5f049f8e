#include "tests/tidy/source_tree.h"

#include <filesystem>
#include <sstream>

#include "base/mapped_file.h"

namespace hadal::tidy {
namespace {

constexpr size_t kMaxBytes = size_t{4} << 20U;

bool IsIgnoredFolder(std::string_view name) {
  return name.starts_with('.') || name == "build" || name == "__pycache__" || name == "shared";
}

bool IsRead(std::string_view path) {
  return IsCpp(path) || IsCMake(path) || IsPython(path) || IsMarkdown(path) ||
         path.ends_with(".txt");
}

void Blank(size_t begin, size_t end, std::string& text) {
  for (size_t i = begin; i < std::min(end, text.size()); ++i) {
    if (text[i] != '\n') {
      text[i] = ' ';
    }
  }
}

// The end of a string or character literal that begins at `begin`.
size_t EndOfLiteral(std::string_view text, size_t begin) {
  for (size_t i = begin + 1; i < text.size() && text[i] != '\n'; ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == text[begin]) {
      return i + 1;
    }
  }
  return text.size();
}

size_t EndOf(std::string_view text, std::string_view closing, size_t from) {
  const size_t found = text.find(closing, from);
  return found == std::string_view::npos ? text.size() : found + closing.size();
}

bool IsWordCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

}  // namespace

absl::StatusOr<SourceTree> ReadSourceTree(const std::string& root) {
  namespace fs = std::filesystem;
  SourceTree tree;
  std::error_code error;
  for (auto entry = fs::recursive_directory_iterator(root, error);
       !error && entry != fs::recursive_directory_iterator();
       entry.increment(error)) {
    if (entry->is_directory()) {
      if (IsIgnoredFolder(entry->path().filename().string())) {
        entry.disable_recursion_pending();
      }
      continue;
    }
    SourceFile file = {.path = fs::relative(entry->path(), root).generic_string(), .text = {}};
    if (IsRead(file.path)) {
      ASSIGN_OR_RETURN(file.text, ReadTextFile(entry->path().string(), kMaxBytes));
    }
    tree.emplace(file.path, file);
  }
  if (error) {
    return NotFound("%s: %s", root, error.message());
  }
  return tree;
}

std::vector<std::string_view> LinesOf(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    lines.push_back(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return lines;
}

std::vector<std::string> WordsOf(std::string_view line) {
  std::istringstream stream{std::string(line)};
  std::vector<std::string> words;
  for (std::string word; stream >> word;) {
    words.push_back(word);
  }
  return words;
}

std::vector<std::string> EntriesOf(std::string_view text) {
  std::vector<std::string> entries;
  for (const std::string_view line : LinesOf(text)) {
    const size_t first = line.find_first_not_of(' ');
    if (first != std::string_view::npos && line[first] != '#') {
      entries.emplace_back(line.substr(first, line.find_last_not_of(' ') + 1 - first));
    }
  }
  return entries;
}

std::string_view FolderOf(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
}

std::string_view NounOf(std::string_view path) {
  const size_t slash = path.rfind('/');
  std::string_view noun = slash == std::string_view::npos ? path : path.substr(slash + 1);
  noun = noun.substr(0, noun.find('.'));
  for (const std::string_view suffix : {"_test", "_fuzz", "_bench"}) {
    if (noun.size() > suffix.size() && noun.ends_with(suffix)) {
      noun.remove_suffix(suffix.size());
    }
  }
  return noun;
}

std::string_view ExtensionOf(std::string_view path) {
  const size_t dot = path.rfind('.');
  return dot == std::string_view::npos ? std::string_view() : path.substr(dot + 1);
}

bool IsCpp(std::string_view path) {
  const std::string_view extension = ExtensionOf(path);
  return extension == "cc" || extension == "cu" || IsHeader(path);
}

bool IsHeader(std::string_view path) {
  const std::string_view extension = ExtensionOf(path);
  return extension == "h" || extension == "cuh";
}

bool IsCMake(std::string_view path) {
  return path.ends_with("CMakeLists.txt") || path.ends_with(".cmake");
}

bool IsPython(std::string_view path) {
  return path.ends_with(".py");
}

bool IsMarkdown(std::string_view path) {
  return path.ends_with(".md");
}

bool IsUnder(std::string_view path, std::string_view prefix) {
  return path == prefix ||
         (path.size() > prefix.size() && path.starts_with(prefix) && path[prefix.size()] == '/');
}

std::string StripCommentsAndLiterals(std::string_view text) {
  std::string code(text);
  size_t i = 0;
  while (i < text.size()) {
    size_t end = i + 1;
    const bool after_word = i > 0 && IsWordCharacter(text[i - 1]);
    if (text.substr(i, 2) == "//") {
      end = std::min(text.find('\n', i), text.size());
      Blank(i, end, code);
    } else if (text.substr(i, 2) == "/*") {
      end = EndOf(text, "*/", i + 2);
      Blank(i, end, code);
    } else if (text.substr(i, 2) == "R\"" && !after_word) {
      const size_t open = text.find('(', i);
      std::string closing(1, ')');
      closing.append(text.substr(i + 2, open - i - 2)).push_back('"');
      end = EndOf(text, closing, i);
      Blank(i, end, code);
    } else if (text[i] == '"' || (text[i] == '\'' && !after_word)) {  // 1'000 is a number
      end = EndOfLiteral(text, i);
      Blank(i + 1, end - 1, code);
    }
    i = end;
  }
  return code;
}

}  // namespace hadal::tidy
