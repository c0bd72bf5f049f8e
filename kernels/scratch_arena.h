#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/tensor_view.h"
#include "kernels/device.h"

namespace hadal {

/// Temporary memory of one op or one step: a stack of allocations, freed together when the
/// ScratchScope that was open ends. It grows to the largest use and then allocates no more.
/// One thread.
class ScratchArena {
 public:
  explicit ScratchArena(const Device& device) : device_(&device) {}

  /// Takes this much from the device at once, in one piece: uses up to there ask it for no more.
  /// ResourceExhausted when it has no room. REQUIRES: nothing was allocated yet.
  absl::Status Reserve(size_t size_bytes);

  /// Dense, uninitialised, aligned to 64 bytes; valid until the innermost ScratchScope ends.
  /// Running out of device memory is fatal: memory plans account for scratch before the start.
  template <typename T, typename... Extent>
  TensorView<T, sizeof...(Extent)> Allocate(Extent... extent) {
    int64_t count = 1;
    ((count *= static_cast<int64_t>(extent)), ...);
    CHECK_GE(count, int64_t{0});
    return MakeView(static_cast<T*>(AllocateBytes(static_cast<size_t>(count) * sizeof(T))),
                    extent...);
  }

  /// Bytes held from the device.
  [[nodiscard]] size_t capacity_bytes() const;

  /// Rises whenever memory is taken from the device or given back to it: while it stays, equal
  /// allocations from one place on lie where they lay before.
  [[nodiscard]] int64_t generation() const { return generation_; }

 private:
  friend class ScratchScope;
  struct Mark {
    size_t chunk = 0;
    size_t offset = 0;
  };

  void* AllocateBytes(size_t size_bytes);
  void Release(Mark mark);

  const Device* device_;
  std::vector<DeviceBuffer> chunks_;
  Mark top_;
  int64_t generation_ = 0;
};

/// Frees, when it ends, what was allocated from the arena since it began. Scopes nest.
class ScratchScope {
 public:
  explicit ScratchScope(ScratchArena& arena) : arena_(arena), mark_(arena.top_) {}
  ScratchScope(const ScratchScope&) = delete;
  ScratchScope& operator=(const ScratchScope&) = delete;
  ~ScratchScope() { arena_.Release(mark_); }

 private:
  ScratchArena& arena_;
  const ScratchArena::Mark mark_;
};

}  // namespace hadal
