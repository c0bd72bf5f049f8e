#include "kernels/device.h"

#include <cstdlib>
#include <cstring>

namespace hadal {
namespace {

constexpr size_t kAlignment = 64;

void* AllocateHost(size_t size_bytes) {
  const size_t rounded = (size_bytes + kAlignment - 1) / kAlignment * kAlignment;
  if (rounded < size_bytes) {
    return nullptr;
  }
  void* data = std::aligned_alloc(kAlignment, rounded);
  if (data != nullptr) {
    std::memset(data, 0, rounded);
  }
  return data;
}

}  // namespace

const Device& CpuDevice() {
  static constexpr Device kCpu = {"cpu", &AllocateHost, &std::free};
  return kCpu;
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

}  // namespace hadal
