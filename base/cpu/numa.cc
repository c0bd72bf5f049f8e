#include "base/cpu/numa.h"

#include <linux/mempolicy.h>
#include <optional>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cpu/system_file.h"

namespace hadal {
namespace {

using Word = unsigned long;  // NOLINT(google-runtime-int): the system calls' type

constexpr int32_t kMaxNodes = 1024;  // as many as Linux can be built for
constexpr int32_t kWordBits = 8 * sizeof(Word);
// The calls take one off the number of bits they are told.
constexpr Word kMaskBits = kMaxNodes + 1;

std::vector<Word> MaskOf(std::span<const int32_t> nodes) {
  std::vector<Word> mask(kMaxNodes / kWordBits, 0);
  for (const int32_t node : nodes) {
    if (node >= 0 && node < kMaxNodes) {
      mask[static_cast<size_t>(node / kWordBits)] |= Word{1} << (node % kWordBits);
    }
  }
  return mask;
}

std::optional<int32_t> ParseNode(std::string_view text) {
  const std::optional<int64_t> node = ParseSystemNumber(text);
  if (!node.has_value() || *node < 0 || *node >= kMaxNodes) {
    return std::nullopt;
  }
  return static_cast<int32_t>(*node);
}

}  // namespace

std::vector<int32_t> ParseNodeList(std::string_view text) {
  std::vector<int32_t> nodes;
  int32_t smallest = 0;
  while (true) {
    const size_t comma = text.find(',');
    const std::string_view range = text.substr(0, comma);
    const size_t dash = range.find('-');
    const std::optional<int32_t> first = ParseNode(range.substr(0, dash));
    const std::optional<int32_t> last =
        dash == std::string_view::npos ? first : ParseNode(range.substr(dash + 1));
    // Rising numbers alone, so the list is no longer than there are nodes.
    if (!first.has_value() || !last.has_value() || *first < smallest || *last < *first) {
      return {};
    }
    for (int32_t node = *first; node <= *last; ++node) {
      nodes.push_back(node);
    }
    smallest = *last + 1;
    if (comma == std::string_view::npos) {
      return nodes;
    }
    text.remove_prefix(comma + 1);
  }
}

std::vector<int32_t> ReadMemoryNodes() {
  const std::optional<std::string> text = ReadSystemFile("/sys/devices/system/node/has_memory");
  return text.has_value() ? ParseNodeList(*text) : std::vector<int32_t>();
}

InterleaveScope::InterleaveScope(std::span<const int32_t> nodes) {
  if (nodes.size() <= 1) {
    return;
  }
  old_mask_.resize(kMaxNodes / kWordBits);
  const std::vector<Word> mask = MaskOf(nodes);
  is_changed_ =
      syscall(SYS_get_mempolicy, &old_mode_, old_mask_.data(), kMaskBits, nullptr, 0) == 0 &&
      syscall(SYS_set_mempolicy, MPOL_INTERLEAVE, mask.data(), kMaskBits) == 0;
}

InterleaveScope::~InterleaveScope() {
  if (is_changed_) {
    // It was this thread's policy before, so it is allowed.
    syscall(SYS_set_mempolicy, old_mode_, old_mask_.data(), kMaskBits);
  }
}

void InterleaveMemory(void* data, size_t size_bytes, std::span<const int32_t> nodes) {
  if (nodes.size() <= 1) {
    return;
  }
  const std::vector<Word> mask = MaskOf(nodes);
  syscall(SYS_mbind, data, size_bytes, MPOL_INTERLEAVE, mask.data(), kMaskBits, 0);
}

}  // namespace hadal
