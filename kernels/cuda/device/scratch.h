#pragma once

#include <cstddef>
#include <cstdint>

namespace hadal {
struct ExecutionContext;
class ScratchScope;
}  // namespace hadal

namespace hadal::cuda {

/// A ScratchScope for sources that nvcc compiles: what it gives out is free again when it ends, for
/// kernels that are launched later. Scopes nest.
class Scratch {
 public:
  explicit Scratch(ExecutionContext& context);
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch();

  /// Uninitialised device memory for `count` elements, aligned to 64 bytes.
  template <typename T>
  T* Allocate(int64_t count) {
    return static_cast<T*>(AllocateBytes(static_cast<size_t>(count) * sizeof(T)));
  }

 private:
  void* AllocateBytes(size_t size_bytes);

  ExecutionContext& context_;
  alignas(8) std::byte storage_[32];  // of scope_, whose header nvcc is spared
  ScratchScope* const scope_;
};

}  // namespace hadal::cuda
