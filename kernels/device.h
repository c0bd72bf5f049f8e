#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "base/status.h"

namespace hadal {

/// memcpy.
void CopyHost(void* to, const void* from, size_t size_bytes);

/// Where memory lives and comes from: a table of functions, one constant instance per kind of
/// device.
struct Device {
  const char* name;
  /// `size_bytes` zeroed bytes aligned to 64 (at least), or null when there is no room.
  void* (*allocate)(size_t size_bytes);
  void (*free)(void* data);
  /// Copies between this memory, the host's, and itself: after all ops that were called before, and
  /// to the end.
  void (*copy)(void* to, const void* from, size_t size_bytes) = &CopyHost;
  /// Whether the host may read and write this memory itself.
  bool is_host = true;
  /// Bytes that `allocate` can still give out; null where the system knows best.
  int64_t (*available_bytes)() = nullptr;
};

/// The host's memory. What is large takes none before it is touched, and then huge pages and all
/// NUMA nodes by turns, as far as the system grants them.
const Device& CpuDevice();

/// Owns one allocation of a Device. Movable; empty after a move.
class DeviceBuffer {
 public:
  /// ResourceExhausted when the device has no room.
  static absl::StatusOr<DeviceBuffer> Allocate(const Device& device, size_t size_bytes);

  DeviceBuffer() = default;
  DeviceBuffer(DeviceBuffer&& other) noexcept { *this = std::move(other); }
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept {
    std::swap(device_, other.device_);
    std::swap(data_, other.data_);
    std::swap(size_bytes_, other.size_bytes_);
    return *this;
  }
  DeviceBuffer(const DeviceBuffer&) = delete;
  DeviceBuffer& operator=(const DeviceBuffer&) = delete;
  ~DeviceBuffer();

  [[nodiscard]] void* data() const { return data_; }
  [[nodiscard]] size_t size_bytes() const { return size_bytes_; }

 private:
  const Device* device_ = nullptr;
  void* data_ = nullptr;
  size_t size_bytes_ = 0;
};

}  // namespace hadal
