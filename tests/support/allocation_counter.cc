#include "tests/support/allocation_counter.h"

#include <atomic>
#include <cstdlib>
#include <new>

namespace {

std::atomic<int64_t> num_allocations = 0;

void* Allocate(size_t size_bytes, size_t alignment) {
  ++num_allocations;
  void* data = std::aligned_alloc(alignment, (size_bytes + alignment) / alignment * alignment);
  if (data == nullptr) {
    std::abort();
  }
  return data;
}

constexpr size_t kAlignment = __STDCPP_DEFAULT_NEW_ALIGNMENT__;

}  // namespace

// Not inline: GCC would see the free() of memory that it believes to come from another operator.
[[gnu::noinline]] void* operator new(size_t size) {
  return Allocate(size, kAlignment);
}
[[gnu::noinline]] void* operator new[](size_t size) {
  return Allocate(size, kAlignment);
}
[[gnu::noinline]] void* operator new(size_t size, std::align_val_t alignment) {
  return Allocate(size, static_cast<size_t>(alignment));
}
[[gnu::noinline]] void* operator new[](size_t size, std::align_val_t alignment) {
  return Allocate(size, static_cast<size_t>(alignment));
}
[[gnu::noinline]] void* operator new(size_t size, const std::nothrow_t& /*tag*/) noexcept {
  return Allocate(size, kAlignment);
}
[[gnu::noinline]] void* operator new[](size_t size, const std::nothrow_t& /*tag*/) noexcept {
  return Allocate(size, kAlignment);
}
[[gnu::noinline]] void operator delete(void* data) noexcept {
  std::free(data);
}
[[gnu::noinline]] void operator delete[](void* data) noexcept {
  std::free(data);
}
[[gnu::noinline]] void operator delete(void* data, size_t /*size*/) noexcept {
  std::free(data);
}
[[gnu::noinline]] void operator delete[](void* data, size_t /*size*/) noexcept {
  std::free(data);
}
[[gnu::noinline]] void operator delete(void* data, std::align_val_t /*alignment*/) noexcept {
  std::free(data);
}
[[gnu::noinline]] void operator delete[](void* data, std::align_val_t /*alignment*/) noexcept {
  std::free(data);
}
[[gnu::noinline]] void operator delete(void* data,
                                       size_t /*size*/,
                                       std::align_val_t /*alignment*/) noexcept {
  std::free(data);
}
[[gnu::noinline]] void operator delete[](void* data,
                                         size_t /*size*/,
                                         std::align_val_t /*alignment*/) noexcept {
  std::free(data);
}

namespace hadal {

int64_t NumAllocations() {
  return num_allocations;
}

const Device& CountingDevice() {
  static constexpr Device kDevice = {"counting",
                                     [](size_t size_bytes) {
                                       ++num_allocations;
                                       return CpuDevice().allocate(size_bytes);
                                     },
                                     [](void* data) { CpuDevice().free(data); }};
  return kDevice;
}

}  // namespace hadal
