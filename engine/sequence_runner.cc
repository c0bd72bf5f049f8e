#include "engine/sequence_runner.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/checked_cast.h"

namespace hadal {

absl::StatusOr<SequenceRunner> SequenceRunner::Create(const Args& args) {
  CHECK_GT(args.max_tokens, 0);
  CHECK_GT(args.chunk_tokens, 0);
  const int64_t num_blocks = (args.max_tokens + kBlockSize - 1) / kBlockSize;
  ASSIGN_OR_RETURN(KvCache cache,
                   KvCache::Create({.config = args.model.config(),
                                    .mtp = MtpCache::kNone,
                                    .dtype = args.cache_dtype,
                                    .num_blocks = num_blocks,
                                    .device = *args.model.kernels().device}));
  ASSIGN_OR_RETURN(DeviceBuffer hidden,
                   DeviceBuffer::Allocate(
                       *args.model.kernels().device,
                       static_cast<size_t>(args.chunk_tokens * args.model.config().hidden_size) *
                           sizeof(float)));
  return SequenceRunner(args, std::move(cache), std::move(hidden));
}

SequenceRunner::SequenceRunner(const Args& args, KvCache cache, DeviceBuffer hidden)
    : args_(args),
      cache_(std::move(cache)),
      hidden_(std::move(hidden)),
      logits_(static_cast<size_t>(args.model.config().vocab_size)) {
  // The sequence owns the whole cache: block i holds positions from i * kBlockSize.
  batch_.max_blocks = cache_.num_blocks();
  batch_.block_tables.resize(static_cast<size_t>(batch_.max_blocks));
  std::iota(batch_.block_tables.begin(), batch_.block_tables.end(), 0);
}

void SequenceRunner::FillBatch(std::span<const TokenId> tokens) {
  batch_.token_ids.assign(tokens.begin(), tokens.end());
  batch_.positions.resize(tokens.size());
  std::iota(batch_.positions.begin(), batch_.positions.end(), CheckedCast<int32_t>(size_));
  batch_.slots.resize(tokens.size());
  std::iota(batch_.slots.begin(), batch_.slots.end(), size_);
  batch_.query_starts = {0, CheckedCast<int32_t>(tokens.size())};
}

void SequenceRunner::Append(std::span<const TokenId> tokens, Visitor visit) {
  CHECK_LE(size_ + std::ssize(tokens), args_.max_tokens);
  const int64_t hidden_size = args_.model.config().hidden_size;
  for (int64_t first = 0; first < std::ssize(tokens); first += args_.chunk_tokens) {
    const int64_t count = std::min(args_.chunk_tokens, std::ssize(tokens) - first);
    FillBatch(tokens.subspan(static_cast<size_t>(first), static_cast<size_t>(count)));
    const TensorView<float, 2> hidden =
        MakeView(static_cast<float*>(hidden_.data()), count, hidden_size);
    args_.model.Forward(batch_, cache_, args_.context, hidden);
    size_ += count;
    visit(first, hidden);
  }
}

std::span<float> SequenceRunner::AppendAndPredict(std::span<const TokenId> tokens) {
  CHECK(!tokens.empty());
  const int64_t last = std::ssize(tokens) - 1;
  Append(tokens, [&](int64_t first, const TensorView<const float, 2>& hidden) {
    if (first + hidden.extent(0) > last) {
      args_.model.FetchLogits(hidden.Slice(last - first, 1),
                              args_.context,
                              MakeView(logits_.data(), 1, std::ssize(logits_)));
    }
  });
  return logits_;
}

}  // namespace hadal
