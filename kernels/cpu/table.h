#pragma once

#include "kernels/cpu/vector_kernels.h"
#include "kernels/kernel_table.h"

namespace hadal::cpu {

/// The CPU back end for one instruction set. REQUIRES: IsSupported(isa) when a kernel is called.
KernelTable MakeTable(Isa isa);

}  // namespace hadal::cpu
