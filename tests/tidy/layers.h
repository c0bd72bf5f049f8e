#pragma once

// Who may include what: the list tests/tidy/layers.txt, and the rule that reads #include lines.

#include <map>
#include <string>
#include <vector>

#include "tests/tidy/source_tree.h"

namespace hadal::tidy {

/// layers.txt. Keys are folders or files; the longest that holds the including file counts.
struct Layers {
  std::map<std::string, std::vector<std::string>> includes;     // folders of ours, or "*"
  std::map<std::string, std::vector<std::string>> header_libs;  // third-party prefixes
  std::map<std::string, std::vector<std::string>> source_libs;
  std::vector<std::string> system;     // headers of the platform, allowed everywhere
  std::vector<std::string> generated;  // prefixes of headers that only the build folder has
};
absl::StatusOr<Layers> ParseLayers(std::string_view text);

/// #include lines: root-relative, existing, and to an allowed layer or library.
std::vector<Finding> CheckIncludes(const SourceFile& file,
                                   const SourceTree& tree,
                                   const Layers& layers);

}  // namespace hadal::tidy
