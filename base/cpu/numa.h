#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hadal {

// Memory that all threads read is spread evenly over the machine's nodes: each node's share of the
// bandwidth is then used, whichever thread runs what. All of this is advice: where there is one
// node, or the system refuses (containers often may not choose), memory lies where it would without
// it.

/// Nodes of a list such as "0-1,4", in rising order as written; empty when it is not of that form
/// or has numbers that are too large.
std::vector<int32_t> ParseNodeList(std::string_view text);

/// The nodes that have memory; empty when the system does not tell.
std::vector<int32_t> ReadMemoryNodes();

/// While it lives, memory that this thread is the first to touch comes from `nodes` by turns, page
/// by page; so do pages of files that its reading brings into memory. Pages that are in memory
/// already stay. The thread's policy is restored at the end. Belongs to one thread.
class InterleaveScope {
 public:
  explicit InterleaveScope(std::span<const int32_t> nodes);
  InterleaveScope(const InterleaveScope&) = delete;
  InterleaveScope& operator=(const InterleaveScope&) = delete;
  ~InterleaveScope();

 private:
  bool is_changed_ = false;
  int old_mode_ = 0;
  std::vector<unsigned long> old_mask_;  // NOLINT(google-runtime-int): the system call's type
};

/// The same for [data, data + size_bytes), whoever touches it first. REQUIRES: `data` is where a
/// page begins, in a mapping that is not a file.
void InterleaveMemory(void* data, size_t size_bytes, std::span<const int32_t> nodes);

}  // namespace hadal
