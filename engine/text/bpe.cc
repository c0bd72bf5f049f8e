#include "engine/text/bpe.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <utility>

#include "base/check.h"
#include "base/checked_cast.h"

namespace hadal {
namespace {

// Up to here a scan over all pairs for each merge beats keeping a heap.
constexpr size_t kMaxShortBytes = 32;

constexpr int32_t kNoRank = std::numeric_limits<int32_t>::max();

uint64_t PairKey(TokenId left, TokenId right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32U | static_cast<uint32_t>(right);
}

}  // namespace

Bpe::Bpe(Args args) : byte_ids_(args.byte_ids) {
  targets_.reserve(args.merges.size());
  for (size_t rank = 0; rank < args.merges.size(); ++rank) {
    const BpeMerge& merge = args.merges[rank];
    const Target target{CheckedCast<int32_t>(rank), merge.result};
    CHECK(targets_.emplace(PairKey(merge.left, merge.right), target).second);
  }
  for (BpeWord& word : args.words) {
    words_.emplace(std::move(word.bytes), word.id);
  }
}

void Bpe::Encode(std::string_view word, Scratch& scratch, std::vector<TokenId>& out) const {
  if (!words_.empty()) {
    if (const auto found = words_.find({word.data(), word.size()}); found != words_.end()) {
      out.push_back(found->second);
      return;
    }
  }
  if (word.size() <= kMaxShortBytes) {
    EncodeShort(word, out);
  } else {
    EncodeLong(word, scratch, out);
  }
}

const Bpe::Target* Bpe::Find(TokenId left, TokenId right) const {
  const auto found = targets_.find(PairKey(left, right));
  return found == targets_.end() ? nullptr : &found->second;
}

void Bpe::EncodeShort(std::string_view word, std::vector<TokenId>& out) const {
  std::array<TokenId, kMaxShortBytes> ids = {};
  std::array<Target, kMaxShortBytes> targets = {};  // of the pair that begins at each place
  size_t size = word.size();
  for (size_t i = 0; i < size; ++i) {
    ids[i] = byte_ids_[static_cast<uint8_t>(word[i])];
  }
  const auto look_up = [this, &ids, &targets, &size](size_t i) {
    const Target* target = i + 1 < size ? Find(ids[i], ids[i + 1]) : nullptr;
    targets[i] = target == nullptr ? Target{kNoRank, 0} : *target;
  };
  for (size_t i = 0; i < size; ++i) {
    look_up(i);
  }
  while (size > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < size; ++i) {
      best = targets[i].rank < targets[best].rank ? i : best;
    }
    if (targets[best].rank == kNoRank) {
      break;
    }
    ids[best] = targets[best].result;
    std::copy(ids.begin() + best + 2, ids.begin() + size, ids.begin() + best + 1);
    std::copy(targets.begin() + best + 2, targets.begin() + size, targets.begin() + best + 1);
    --size;
    look_up(best);
    if (best > 0) {
      look_up(best - 1);
    }
  }
  out.insert(out.end(), ids.begin(), ids.begin() + size);
}

void Bpe::EncodeLong(std::string_view word, Scratch& scratch, std::vector<TokenId>& out) const {
  const auto size = CheckedCast<int32_t>(word.size());
  std::vector<Scratch::Symbol>& symbols = scratch.symbols_;
  std::vector<uint64_t>& firsts = scratch.first_candidates_;
  std::vector<uint64_t>& heap = scratch.heap_;
  symbols.clear();
  firsts.clear();
  heap.clear();
  for (int32_t i = 0; i < size; ++i) {
    const TokenId id = byte_ids_[static_cast<uint8_t>(word[static_cast<size_t>(i)])];
    symbols.push_back({id, i - 1, i + 1 < size ? i + 1 : -1});
  }
  for (int32_t i = 0; i < size; ++i) {
    AddCandidate(i, scratch, firsts);
  }
  // Sorting is several times faster than keeping so many in a heap, above all when they are in
  // order already, as in a run of one character.
  if (!std::is_sorted(firsts.begin(), firsts.end())) {
    std::sort(firsts.begin(), firsts.end());
  }
  size_t next_first = 0;
  while (next_first < firsts.size() || !heap.empty()) {
    uint64_t candidate = 0;
    if (heap.empty() || (next_first < firsts.size() && firsts[next_first] < heap.front())) {
      candidate = firsts[next_first++];
    } else {
      candidate = heap.front();
      std::pop_heap(heap.begin(), heap.end(), std::greater<>());
      heap.pop_back();
    }
    const auto rank = static_cast<int32_t>(candidate >> 32U);
    const auto position = static_cast<int32_t>(candidate & 0xFFFFFFFFU);
    Scratch::Symbol& left = symbols[static_cast<size_t>(position)];
    if (left.id < 0 || left.next < 0) {
      continue;
    }
    Scratch::Symbol& right = symbols[static_cast<size_t>(left.next)];
    // A neighbour may have changed since this candidate was pushed.
    const Target* target = Find(left.id, right.id);
    if (target == nullptr || target->rank != rank) {
      continue;
    }
    left.id = target->result;
    left.next = right.next;
    right.id = -1;
    if (left.next >= 0) {
      symbols[static_cast<size_t>(left.next)].previous = position;
    }
    for (const int32_t changed : {position, left.previous}) {
      const size_t before = heap.size();
      AddCandidate(changed, scratch, heap);
      if (heap.size() > before) {
        std::push_heap(heap.begin(), heap.end(), std::greater<>());
      }
    }
  }
  for (int32_t i = 0; i >= 0; i = symbols[static_cast<size_t>(i)].next) {
    out.push_back(symbols[static_cast<size_t>(i)].id);
  }
}

// Adds the pair that begins at `position`, if there is one and it merges, at the end.
void Bpe::AddCandidate(int32_t position,
                       const Scratch& scratch,
                       std::vector<uint64_t>& candidates) const {
  if (position < 0) {
    return;
  }
  const Scratch::Symbol& left = scratch.symbols_[static_cast<size_t>(position)];
  if (left.next < 0) {
    return;
  }
  const Target* target = Find(left.id, scratch.symbols_[static_cast<size_t>(left.next)].id);
  if (target != nullptr) {
    candidates.push_back(static_cast<uint64_t>(target->rank) << 32U |
                         static_cast<uint32_t>(position));
  }
}

}  // namespace hadal
