#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <absl/functional/function_ref.h>

#include "base/status.h"
#include "base/thread_pool.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/packing/packed_layout.h"

namespace hadal {

/// Told how many bytes of the packed data are done, in rising order. On the calling thread.
using PackProgress = absl::FunctionRef<void(int64_t done_bytes)>;

/// Takes the packed bytes at `offset` of the data. Any thread of the pool, several at a time.
using PackSink = absl::FunctionRef<absl::Status(int64_t offset, std::span<const std::byte> bytes)>;

struct PackArgs {
  const Checkpoint& checkpoint;
  const PackedLayout& layout;
  ThreadPool& pool;
  PackSink sink;
  PackProgress progress;
};

/// Packs all matrices, in pieces that the pool shares, and returns the checksum of the data.
/// InvalidArgument, naming the tensor, for weights that are not finite; ResourceExhausted when
/// there is no memory for unaligned tensors; the errors of the sink. Packed bytes do not depend on
/// the pool.
absl::StatusOr<uint64_t> PackMatrices(const PackArgs& args);

/// The checksum of packed data: that of the checksums of its pieces. Reads the data once, so that
/// it is in memory afterwards.
uint64_t ChecksumOfPacked(const PackedLayout& layout,
                          const std::byte* data,
                          ThreadPool& pool,
                          PackProgress progress);

}  // namespace hadal
