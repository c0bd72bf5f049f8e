#include "scheduler/sequence.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "base/check.h"
#include "engine/api/forward_batch.h"
#include "scheduler/prefix_cache.h"

namespace hadal {
namespace {

void HashLastBlock(Sequence& sequence) {
  const size_t num_hashed = sequence.hashes.size();
  const uint64_t parent =
      num_hashed == 0 ? HashSalt(SaltOf(sequence.request->request)) : sequence.hashes.back();
  sequence.hashes.push_back(HashBlock(
      parent,
      std::span(sequence.tokens)
          .subspan(num_hashed * static_cast<size_t>(kBlockSize), static_cast<size_t>(kBlockSize))));
}

}  // namespace

void Sequence::Append(TokenId token) {
  tokens.push_back(token);
  if (num_tokens() % kBlockSize == 0) {
    HashLastBlock(*this);
  }
}

LiveRequest::LiveRequest(Request what) : request(std::move(what)) {
  CHECK(!request.prompt.empty());
  CHECK_GE(request.num_sequences, 1);
  const int64_t max_tokens = num_prompt_tokens() + request.max_new_tokens;
  const auto max_blocks = static_cast<size_t>(NumBlocksFor(max_tokens));
  sequences.resize(static_cast<size_t>(request.num_sequences));
  for (int32_t i = 0; i < request.num_sequences; ++i) {
    Sequence& sequence = sequences[static_cast<size_t>(i)];
    sequence.request = this;
    sequence.index = i;
    sequence.sampling = request.sampling;
    sequence.sampling.seed += static_cast<uint64_t>(i);
    sequence.tokens.reserve(static_cast<size_t>(max_tokens));
    sequence.hashes.reserve(max_blocks);
    sequence.blocks.reserve(max_blocks);
  }
  leader().tokens.assign(request.prompt.begin(), request.prompt.end());
  while (std::ssize(leader().hashes) < num_prompt_tokens() / kBlockSize) {
    HashLastBlock(leader());
  }
}

int64_t LiveRequest::max_cost_tokens() const {
  return num_prompt_tokens() + request.num_sequences * request.max_new_tokens;
}

bool GoesBefore(const Sequence& a, const Sequence& b) {
  const auto rank = [](const Sequence& sequence) {
    const LiveRequest& request = *sequence.request;
    return std::tuple(request.aged ? 0 : 1,
                      request.aged ? 0 : request.request.priority,
                      request.arrival_number,
                      sequence.index);
  };
  return rank(a) < rank(b);
}

}  // namespace hadal
