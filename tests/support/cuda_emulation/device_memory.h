#pragma once

namespace hadal::emulation {

/// While one lives, the thread may touch memory of AllocateDevice (emulator.h), which only kernels
/// and copies may.
class OpenMemory {
 public:
  OpenMemory();
  OpenMemory(const OpenMemory&) = delete;
  OpenMemory& operator=(const OpenMemory&) = delete;
  ~OpenMemory();
};

}  // namespace hadal::emulation
