#pragma once

#include <vector>

#include "kernels/kernel_table.h"

namespace hadal::test {

/// Names a back end that is not of the product: the CPU's portable one, but with products with
/// native weights on emulated tile registers, so that the ops' way through them is tested on any
/// machine.
inline constexpr const char* kEmulatedTilesName = "cpu-emulated-tiles";

KernelTable EmulatedTilesTable();

/// Names the CUDA back end on the emulator of tests/support/cuda_emulation.
inline constexpr const char* kEmulatedCudaName = "cuda-emulated";

/// False in builds with sanitizers, which make it many times slower or do not follow its
/// coroutines. Tests on it are skipped then, but for some that ThreadSanitizer shall see.
bool EmulatesCuda();

/// `tables`, and EmulatedCudaTable() where EmulatesCuda().
std::vector<KernelTable> WithEmulatedCuda(std::vector<KernelTable> tables);

/// Its ops for arguments in host memory, and for those in the emulated GPU's.
KernelTable EmulatedCudaStagedTable();
KernelTable EmulatedCudaTable();

}  // namespace hadal::test
