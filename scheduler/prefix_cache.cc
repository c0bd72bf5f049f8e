#include "scheduler/prefix_cache.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "engine/api/forward_batch.h"

namespace hadal {
namespace {

constexpr size_t kBlockTokens = static_cast<size_t>(kBlockSize);

// Odd constants with mixed bits: digits of pi and e.
constexpr uint64_t kA = 0x243F6A8885A308D3ULL;
constexpr uint64_t kB = 0xB7E151628AED2A6BULL;

// Most children that are looked at to tell where prompts part: a report, not worth more.
constexpr int64_t kMaxSiblings = 64;

// The two halves of the 128-bit product, folded: mixes well and costs one multiplication.
uint64_t Mix(uint64_t a, uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = Wide{a} * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64U);
}

}  // namespace

uint64_t HashSalt(const CacheSalt& salt) {
  return Mix(static_cast<uint64_t>(salt.tenant) ^ kA, salt.value ^ kB);
}

uint64_t HashBlock(uint64_t parent, std::span<const TokenId> tokens) {
  CHECK_EQ(tokens.size(), kBlockTokens);
  uint64_t hash = Mix(parent ^ kA, kB);
  for (size_t i = 0; i < kBlockTokens; i += 4) {
    uint64_t low = 0;
    uint64_t high = 0;
    std::memcpy(&low, &tokens[i], sizeof(low));
    std::memcpy(&high, &tokens[i + 2], sizeof(high));
    hash = Mix(low ^ kA ^ hash, high ^ kB);
  }
  return Mix(hash ^ kB, kA);
}

PrefixCache::PrefixCache(BlockPool& pool)
    : pool_(pool),
      nodes_(static_cast<size_t>(pool.num_blocks())),
      tokens_(static_cast<size_t>(pool.num_blocks()) * kBlockTokens),
      evicted_ring_(static_cast<size_t>(pool.num_blocks())) {
  // Twice, so that erasing and inserting never make a table grow.
  index_.reserve(nodes_.size() * 2);
  evicted_.reserve(nodes_.size() * 2);
}

PrefixCache::Match PrefixCache::Find(const CacheSalt& salt,
                                     std::span<const TokenId> tokens,
                                     std::span<const uint64_t> hashes,
                                     std::vector<BlockId>& blocks) const {
  Match match;
  int32_t parent = kNone;
  for (const uint64_t hash : hashes) {
    const auto rest = tokens.subspan(static_cast<size_t>(match.position));
    const auto found = index_.find(hash);
    if (found == index_.end() || !Equal(found->second, parent, salt, rest.first(kBlockTokens))) {
      const std::optional<int64_t> common = LongestCommon(parent, salt, rest.first(kBlockTokens));
      match.miss = evicted_.contains(hash) ? CacheMiss::kEvicted
                   : common.has_value()    ? CacheMiss::kDiverged
                                           : CacheMiss::kNeverSeen;
      match.position += match.miss == CacheMiss::kDiverged ? *common : 0;
      return match;
    }
    parent = found->second;
    blocks.push_back(BlockId{parent});
    ++match.num_blocks;
    match.position += kBlockSize;
  }
  return match;
}

std::optional<BlockId> PrefixCache::Insert(const Entry& entry) {
  CHECK_EQ(entry.tokens.size(), kBlockTokens);
  const int32_t parent = entry.parent.has_value() ? static_cast<int32_t>(*entry.parent) : kNone;
  if (parent != kNone && !pool_.is_kept(*entry.parent)) {
    return std::nullopt;
  }
  const auto index = static_cast<int32_t>(entry.block);
  const auto [found, is_first] = index_.emplace(entry.hash, index);
  if (!is_first) {
    return Equal(found->second, parent, entry.salt, entry.tokens)
               ? std::optional(BlockId{found->second})
               : std::nullopt;
  }
  Node& node = nodes_[static_cast<size_t>(index)];
  CHECK_EQ(node.first_child, kNone);
  node.hash = entry.hash;
  node.salt = entry.salt;
  std::copy(
      entry.tokens.begin(), entry.tokens.end(), tokens_.begin() + int64_t{index} * kBlockSize);
  Link(index, parent);
  pool_.Keep(entry.block);
  evicted_.erase(entry.hash);
  return entry.block;
}

std::optional<BlockId> PrefixCache::Allocate() {
  if (pool_.num_free() == 0) {
    const std::optional<BlockId> oldest = pool_.OldestCached();
    if (!oldest.has_value()) {
      return std::nullopt;
    }
    Forget(static_cast<int32_t>(*oldest));
  }
  return pool_.TakeFree();
}

std::span<const TokenId> PrefixCache::TokensOf(int32_t index) const {
  return std::span(tokens_).subspan(static_cast<size_t>(index) * kBlockTokens, kBlockTokens);
}

bool PrefixCache::Equal(int32_t index,
                        int32_t parent,
                        const CacheSalt& salt,
                        std::span<const TokenId> tokens) const {
  const Node& node = nodes_[static_cast<size_t>(index)];
  return node.parent == parent && node.salt == salt &&
         std::equal(tokens.begin(), tokens.end(), TokensOf(index).begin());
}

std::optional<int64_t> PrefixCache::LongestCommon(int32_t parent,
                                                  const CacheSalt& salt,
                                                  std::span<const TokenId> tokens) const {
  std::optional<int64_t> longest;
  int64_t num_seen = 0;
  for (int32_t child = FirstChild(parent); child != kNone && num_seen < kMaxSiblings;
       child = nodes_[static_cast<size_t>(child)].next_sibling, ++num_seen) {
    if (nodes_[static_cast<size_t>(child)].salt == salt) {
      const auto theirs = TokensOf(child);
      const auto parting = std::mismatch(tokens.begin(), tokens.end(), theirs.begin());
      longest = std::max(longest.value_or(0), parting.first - tokens.begin());
    }
  }
  return longest;
}

void PrefixCache::Link(int32_t index, int32_t parent) {
  Node& node = nodes_[static_cast<size_t>(index)];
  int32_t& first = FirstChild(parent);
  node.parent = parent;
  node.previous_sibling = kNone;
  node.next_sibling = first;
  if (first != kNone) {
    nodes_[static_cast<size_t>(first)].previous_sibling = index;
  }
  first = index;
}

// Takes an unreferenced leaf out of the tree; its block becomes free.
void PrefixCache::Forget(int32_t index) {
  Node& node = nodes_[static_cast<size_t>(index)];
  CHECK_EQ(node.first_child, kNone);
  if (node.previous_sibling == kNone) {
    FirstChild(node.parent) = node.next_sibling;
  } else {
    nodes_[static_cast<size_t>(node.previous_sibling)].next_sibling = node.next_sibling;
  }
  if (node.next_sibling != kNone) {
    nodes_[static_cast<size_t>(node.next_sibling)].previous_sibling = node.previous_sibling;
  }
  index_.erase(node.hash);
  // Remember that it was here, in place of what gave way longest ago.
  const auto place = static_cast<size_t>(num_evicted_ % std::ssize(evicted_ring_));
  if (num_evicted_ >= std::ssize(evicted_ring_)) {
    const auto old = evicted_.find(evicted_ring_[place]);
    if (old != evicted_.end() && old->second == num_evicted_ - std::ssize(evicted_ring_)) {
      evicted_.erase(old);
    }
  }
  evicted_ring_[place] = node.hash;
  evicted_[node.hash] = num_evicted_++;
  node = Node();
  pool_.StopKeeping(BlockId{index});
}

int32_t& PrefixCache::FirstChild(int32_t parent) {
  return parent == kNone ? first_root_ : nodes_[static_cast<size_t>(parent)].first_child;
}

int32_t PrefixCache::FirstChild(int32_t parent) const {
  return parent == kNone ? first_root_ : nodes_[static_cast<size_t>(parent)].first_child;
}

void PrefixCache::CheckInvariants() const {
  int64_t num_kept = 0;
  for (int32_t i = 0; i < static_cast<int32_t>(nodes_.size()); ++i) {
    const Node& node = nodes_[static_cast<size_t>(i)];
    if (!pool_.is_kept(BlockId{i})) {
      CHECK_EQ(node.first_child, kNone);
      continue;
    }
    ++num_kept;
    const auto found = index_.find(node.hash);
    CHECK(found != index_.end());
    CHECK_EQ(found->second, i);
    uint64_t parent_hash = HashSalt(node.salt);
    if (node.parent != kNone) {
      const Node& parent = nodes_[static_cast<size_t>(node.parent)];
      CHECK(pool_.is_kept(BlockId{node.parent}));
      CHECK_GE(pool_.ref_count(BlockId{node.parent}), pool_.ref_count(BlockId{i}));
      CHECK(parent.salt == node.salt);
      parent_hash = parent.hash;
    }
    CHECK_EQ(HashBlock(parent_hash, TokensOf(i)), node.hash);
    CHECK(node.previous_sibling == kNone
              ? FirstChild(node.parent) == i
              : nodes_[static_cast<size_t>(node.previous_sibling)].next_sibling == i);
  }
  CHECK_EQ(num_kept, std::ssize(index_));
  CHECK_LE(std::ssize(evicted_), std::ssize(evicted_ring_));
}

}  // namespace hadal
