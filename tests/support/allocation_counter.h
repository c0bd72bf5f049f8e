#pragma once

// A program that links this counts what it allocates: operator new is replaced.

#include <cstdint>

#include "kernels/device.h"

namespace hadal {

/// Calls of operator new, and allocations of CountingDevice, since the start, in all threads.
int64_t NumAllocations();

/// The host's memory, counted.
const Device& CountingDevice();

}  // namespace hadal
