#pragma once

#include "kernels/kernel_table.h"

namespace hadal::test {

/// Names a back end that is not of the product: the CPU's portable one, but with products with
/// native weights on emulated tile registers, so that the ops' way through them is tested on any
/// machine.
inline constexpr const char* kEmulatedTilesName = "cpu-emulated-tiles";

KernelTable EmulatedTilesTable();

}  // namespace hadal::test
