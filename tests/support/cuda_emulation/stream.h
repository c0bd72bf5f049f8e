#pragma once

#include <cstddef>
#include <vector>

#include "tests/support/cuda_emulation/emulator.h"
#include "tests/support/cuda_emulation/races.h"

namespace hadal::emulation {

struct PendingCopy {
  void* to;
  const void* from;
  size_t num_bytes;
};

/// What this thread has launched, kernels and copies, and what they have done.
struct Stream {
  std::vector<PendingCopy> begun;
  Launches discarded;  // while their kernels may run
  Actor actor = Actor::Create();
  OrderTag done_tag = {};
};

/// The calling thread's.
Stream& CurrentStream();

/// Does what was begun: copies come behind the kernels that were launched before.
void PerformCopies();

}  // namespace hadal::emulation
