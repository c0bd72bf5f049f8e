#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "base/check.h"
#include "base/status.h"

namespace hadal {

/// memcpy.
void CopyHost(void* to, const void* from, size_t size_bytes);

/// What a device offers that can keep what ops launch on it, so as to launch it again by one call.
struct DeviceRecorder {
  /// From `begin` to `end`, which gives the recording, what this thread launches is recorded and
  /// not done. Nothing may be copied, allocated or freed in between.
  void (*begin)();
  void* (*end)();
  /// Launches the whole of it, with the arguments that it was recorded with.
  void (*replay)(void* recording);
  void (*free)(void* recording);
};

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
  /// Begins to copy like `copy`, to or from memory of `host`: done, and the host's part free for
  /// other use, when finish_copies returns.
  void (*begin_copy)(void* to, const void* from, size_t size_bytes) = &CopyHost;
  void (*finish_copies)() = [] {};
  /// Memory of the host that this device copies fastest; null: it has no favourite.
  const Device* host = nullptr;
  /// Null where ops cannot be recorded.
  const DeviceRecorder* recorder = nullptr;
};

/// The host's memory. What is large takes none before it is touched, and then huge pages and all
/// NUMA nodes by turns, as far as the system grants them.
const Device& CpuDevice();

/// The memory for what goes to and from `device`: device.host, or CpuDevice().
const Device& HostOf(const Device& device);

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

/// Owns a recording of a DeviceRecorder. Movable; empty after a move. One thread.
class DeviceRecording {
 public:
  /// Records what `launch` launches, without doing it. REQUIRES: device.recorder is not null, and
  /// `launch` keeps its rules.
  template <typename Launch>
  static DeviceRecording Record(const Device& device, Launch launch) {
    CHECK(device.recorder != nullptr);
    device.recorder->begin();
    launch();
    return DeviceRecording(*device.recorder, device.recorder->end());
  }

  DeviceRecording(DeviceRecording&& other) noexcept { *this = std::move(other); }
  DeviceRecording& operator=(DeviceRecording&& other) noexcept {
    std::swap(recorder_, other.recorder_);
    std::swap(recording_, other.recording_);
    return *this;
  }
  DeviceRecording(const DeviceRecording&) = delete;
  DeviceRecording& operator=(const DeviceRecording&) = delete;
  ~DeviceRecording();

  /// REQUIRES: not empty; the memory that the recorded ops use is still there.
  void Replay() const { recorder_->replay(recording_); }

 private:
  DeviceRecording(const DeviceRecorder& recorder, void* recording)
      : recorder_(&recorder), recording_(recording) {}

  const DeviceRecorder* recorder_ = nullptr;
  void* recording_ = nullptr;
};

}  // namespace hadal
