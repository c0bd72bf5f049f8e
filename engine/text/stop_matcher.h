#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <absl/container/flat_hash_map.h>

#include "base/status.h"

namespace hadal {

/// Finds the first stop string in streamed text. Text that may be the beginning of a stop string
/// is held back. What Push and Finish return, joined, is all text before the earliest place where
/// a stop string begins, however the text was cut into chunks. Linear time (Aho & Corasick 1975).
/// One thread at a time.
class StopMatcher {
 public:
  /// InvalidArgument when a stop string is empty. No stop strings: all text passes at once.
  /// Memory is proportional to the stop strings; limiting them is the caller's task.
  static absl::StatusOr<StopMatcher> Create(std::span<const std::string> stop_strings);

  /// The text that is now known to stand before any stop string. Empty once `stopped()`.
  std::string Push(std::string_view text);

  /// The text still held back, when no more will come. Then the matcher is done.
  std::string Finish();

  /// True once a stop string has been found and all text before it returned.
  [[nodiscard]] bool stopped() const { return stopped_; }

 private:
  struct Node {
    int32_t fallback = 0;      // the longest proper suffix that also begins a stop string
    int64_t depth = 0;         // bytes of a stop string that lead here
    int64_t longest_stop = 0;  // bytes of the longest stop string that ends here; 0: none
  };

  StopMatcher() = default;
  [[nodiscard]] int32_t Child(int32_t node, char byte) const;
  [[nodiscard]] int32_t Next(int32_t node, char byte) const;
  std::string Release(int64_t end);

  std::vector<Node> nodes_ = {Node{}};
  absl::flat_hash_map<uint64_t, int32_t> children_;  // by node and byte
  int32_t node_ = 0;
  std::string held_;            // text not returned yet
  int64_t held_begin_ = 0;      // its place in the whole text
  int64_t num_seen_ = 0;        // bytes of text gone through
  int64_t earliest_stop_ = -1;  // place of the earliest stop string so far; -1: none
  bool stopped_ = false;
};

}  // namespace hadal
