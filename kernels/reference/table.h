#pragma once

#include "kernels/kernel_table.h"

namespace hadal::reference {

/// Every op as its definition. Always available.
KernelTable MakeTable();

}  // namespace hadal::reference
