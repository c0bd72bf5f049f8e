#include "kernels/device.h"

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <sys/mman.h>

#include "base/cpu/numa.h"

namespace hadal {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kHugeBytes = size_t{2} << 20U;  // what the processor can map as one

// Lies before the memory that is given out.
struct alignas(kAlignment) Header {
  void* begin;          // of the allocation
  size_t mapped_bytes;  // from `begin`; 0: from the heap
};
static_assert(sizeof(Header) == kAlignment);

constexpr size_t kMaxBytes = std::numeric_limits<size_t>::max() - 2 * kHugeBytes;

size_t RoundUp(size_t size_bytes, size_t unit) {
  return (size_bytes + unit - 1) / unit * unit;
}

void* WriteHeader(const Header& header, std::byte* data) {
  std::memcpy(data - sizeof(Header), &header, sizeof(header));
  return data;
}

void* AllocateSmall(size_t size_bytes) {
  const size_t total = sizeof(Header) + RoundUp(size_bytes, kAlignment);
  void* begin = std::aligned_alloc(kAlignment, total);
  if (begin == nullptr) {
    return nullptr;
  }
  std::memset(begin, 0, total);
  return WriteHeader({.begin = begin, .mapped_bytes = 0},
                     static_cast<std::byte*>(begin) + sizeof(Header));
}

// Whole huge blocks, where the system has any: a walk through gigabytes then misses the TLB seldom.
// The system hands out zeroed memory when it is first touched, spread over the machine's nodes.
void* AllocateLarge(size_t size_bytes) {
  const size_t data_bytes = RoundUp(size_bytes, kHugeBytes);
  const size_t total = kHugeBytes + data_bytes;  // room to align, and for the header
  void* begin = mmap(nullptr, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (begin == MAP_FAILED) {
    return nullptr;
  }
  const size_t to_boundary = kHugeBytes - reinterpret_cast<uintptr_t>(begin) % kHugeBytes;
  std::byte* data = static_cast<std::byte*>(begin) + to_boundary;
  // Both are advice.
  madvise(data, data_bytes, MADV_HUGEPAGE);
  InterleaveMemory(data, data_bytes, ReadMemoryNodes());
  return WriteHeader({.begin = begin, .mapped_bytes = total}, data);
}

void* AllocateHost(size_t size_bytes) {
  if (size_bytes > kMaxBytes) {
    return nullptr;
  }
  return size_bytes < kHugeBytes ? AllocateSmall(size_bytes) : AllocateLarge(size_bytes);
}

void FreeHost(void* data) {
  if (data == nullptr) {
    return;
  }
  Header header{};
  std::memcpy(&header, static_cast<std::byte*>(data) - sizeof(Header), sizeof(header));
  if (header.mapped_bytes == 0) {
    std::free(header.begin);
  } else {
    munmap(header.begin, header.mapped_bytes);
  }
}

}  // namespace

void CopyHost(void* to, const void* from, size_t size_bytes) {
  if (size_bytes > 0) {
    std::memcpy(to, from, size_bytes);
  }
}

const Device& CpuDevice() {
  static constexpr Device kCpu = {"cpu", &AllocateHost, &FreeHost};
  return kCpu;
}

const Device& HostOf(const Device& device) {
  return device.host != nullptr ? *device.host : CpuDevice();
}

absl::StatusOr<DeviceBuffer> DeviceBuffer::Allocate(const Device& device, size_t size_bytes) {
  DeviceBuffer buffer;
  if (size_bytes > 0) {
    buffer.data_ = device.allocate(size_bytes);
    if (buffer.data_ == nullptr) {
      return ResourceExhausted("no room for %d bytes on device %s", size_bytes, device.name);
    }
  }
  buffer.device_ = &device;
  buffer.size_bytes_ = size_bytes;
  return buffer;
}

DeviceBuffer::~DeviceBuffer() {
  if (data_ != nullptr) {
    device_->free(data_);
  }
}

DeviceRecording::~DeviceRecording() {
  if (recording_ != nullptr) {
    recorder_->free(recording_);
  }
}

}  // namespace hadal
