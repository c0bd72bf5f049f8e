#include "tests/support/cuda_emulation/device_memory.h"

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <sys/mman.h>

#include "base/check.h"
#include "tests/support/cuda_emulation/emulator.h"

namespace hadal::emulation {
namespace {

constexpr size_t kPage = 4096;

// Every allocation has pages of its own, which only kernels and copies may touch.
class DeviceMemory {
 public:
  void* Allocate(size_t size_bytes) {
    const std::lock_guard lock(mutex_);
    const size_t mapped = (size_bytes + kPage - 1) / kPage * kPage;
    void* begin = mmap(
        nullptr, mapped + kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (begin == MAP_FAILED) {
      return nullptr;
    }
    constexpr size_t kAlignment = 16;
    const size_t rounded = (size_bytes + kAlignment - 1) / kAlignment * kAlignment;
    auto* data = static_cast<std::byte*>(begin) + (mapped - rounded);
    allocations_[data] = {begin, mapped};
    if (num_users_ > 0) {
      Protect(allocations_[data], PROT_READ | PROT_WRITE);
    }
    return data;
  }

  void Free(void* data) {
    if (data == nullptr) {
      return;
    }
    const std::lock_guard lock(mutex_);
    const auto found = allocations_.find(data);
    CHECK(found != allocations_.end());
    munmap(found->second.begin, found->second.mapped + kPage);
    allocations_.erase(found);
  }

  void Open() {
    const std::lock_guard lock(mutex_);
    if (num_users_++ == 0) {
      ProtectAll(PROT_READ | PROT_WRITE);
    }
  }

  void Close() {
    const std::lock_guard lock(mutex_);
    if (--num_users_ == 0) {
      ProtectAll(PROT_NONE);
    }
  }

 private:
  struct Allocation {
    void* begin = nullptr;
    size_t mapped = 0;
  };

  static void Protect(const Allocation& allocation, int protection) {
    if (allocation.mapped > 0) {
      CHECK_EQ(mprotect(allocation.begin, allocation.mapped, protection), 0);
    }
  }

  void ProtectAll(int protection) {
    for (const auto& [data, allocation] : allocations_) {
      Protect(allocation, protection);
    }
  }

  std::mutex mutex_;
  int num_users_ = 0;
  std::map<void*, Allocation> allocations_;
};

DeviceMemory& Memory() {
  // It outlives every buffer.
  static DeviceMemory* const kMemory = std::make_unique<DeviceMemory>().release();
  return *kMemory;
}

}  // namespace

OpenMemory::OpenMemory() {
  Memory().Open();
}

OpenMemory::~OpenMemory() {
  Memory().Close();
}

void* AllocateDevice(size_t size_bytes) {
  return Memory().Allocate(size_bytes);
}

void FreeDevice(void* data) {
  Memory().Free(data);
}

}  // namespace hadal::emulation
