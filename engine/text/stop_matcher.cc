#include "engine/text/stop_matcher.h"

#include <algorithm>
#include <utility>

#include "base/checked_cast.h"

namespace hadal {
namespace {

constexpr int32_t kNoNode = -1;

uint64_t ChildKey(int32_t node, char byte) {
  return static_cast<uint64_t>(node) << 8U | static_cast<uint8_t>(byte);
}

}  // namespace

absl::StatusOr<StopMatcher> StopMatcher::Create(std::span<const std::string> stop_strings) {
  StopMatcher matcher;
  // 1. The tree of all stop strings.
  for (const std::string& stop : stop_strings) {
    if (stop.empty()) {
      return InvalidArgument("a stop string is empty");
    }
    int32_t node = 0;
    for (const char byte : stop) {
      const auto next = CheckedCast<int32_t>(matcher.nodes_.size());
      const auto [child, is_new] = matcher.children_.emplace(ChildKey(node, byte), next);
      if (is_new) {
        const int64_t depth = matcher.nodes_[static_cast<size_t>(node)].depth + 1;
        matcher.nodes_.push_back({.depth = depth});
      }
      node = child->second;
    }
    matcher.nodes_[static_cast<size_t>(node)].longest_stop = CheckedCast<int64_t>(stop.size());
  }
  // 2. Fallbacks, by rising depth, so that those of shorter prefixes are ready.
  struct Edge {
    int32_t parent;
    char byte;
    int32_t child;
  };
  std::vector<Edge> edges;
  for (const auto& [key, child] : matcher.children_) {
    edges.push_back({static_cast<int32_t>(key >> 8U), static_cast<char>(key & 0xFFU), child});
  }
  std::sort(edges.begin(), edges.end(), [&matcher](const Edge& a, const Edge& b) {
    return matcher.nodes_[static_cast<size_t>(a.child)].depth <
           matcher.nodes_[static_cast<size_t>(b.child)].depth;
  });
  for (const auto& [parent, byte, child] : edges) {
    Node& node = matcher.nodes_[static_cast<size_t>(child)];
    if (parent != 0) {
      node.fallback = matcher.Next(matcher.nodes_[static_cast<size_t>(parent)].fallback, byte);
    }
    const Node& fallback = matcher.nodes_[static_cast<size_t>(node.fallback)];
    node.longest_stop = std::max(node.longest_stop, fallback.longest_stop);
  }
  return matcher;
}

int32_t StopMatcher::Child(int32_t node, char byte) const {
  const auto found = children_.find(ChildKey(node, byte));
  return found == children_.end() ? kNoNode : found->second;
}

int32_t StopMatcher::Next(int32_t node, char byte) const {
  while (true) {
    const int32_t child = Child(node, byte);
    if (child != kNoNode || node == 0) {
      return std::max(child, 0);
    }
    node = nodes_[static_cast<size_t>(node)].fallback;
  }
}

std::string StopMatcher::Push(std::string_view text) {
  if (stopped_) {
    return {};
  }
  if (children_.empty()) {  // no stop strings, as is usual
    return std::string(text);
  }
  for (const char byte : text) {
    held_.push_back(byte);
    ++num_seen_;
    node_ = Next(node_, byte);
    const Node& node = nodes_[static_cast<size_t>(node_)];
    if (node.longest_stop > 0) {
      const int64_t place = num_seen_ - node.longest_stop;
      earliest_stop_ = earliest_stop_ < 0 ? place : std::min(earliest_stop_, place);
    }
    // A longer stop string that began earlier may still be under way.
    if (earliest_stop_ >= 0 && num_seen_ - node.depth >= earliest_stop_) {
      stopped_ = true;
      return Release(earliest_stop_);
    }
  }
  return Release(num_seen_ - nodes_[static_cast<size_t>(node_)].depth);
}

std::string StopMatcher::Finish() {
  if (stopped_) {
    return {};
  }
  stopped_ = earliest_stop_ >= 0;
  return Release(stopped_ ? earliest_stop_ : num_seen_);
}

// The held text before place `end` of the whole text; when stopped, the rest is dropped.
std::string StopMatcher::Release(int64_t end) {
  const auto size = CheckedCast<size_t>(end - held_begin_);
  std::string text = held_.substr(0, size);
  held_.erase(0, stopped_ ? held_.size() : size);
  held_begin_ = end;
  return text;
}

}  // namespace hadal
