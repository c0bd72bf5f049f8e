#pragma once

#include <cstdint>
#include <span>

#include "kernels/execution_context.h"
#include "kernels/kernel_table.h"

// Rows of hidden states, which stay in the memory of kernels.device: what the host asks of them.

namespace hadal {

/// gathered[i, :] = hidden[rows[i], :]. REQUIRES: they share no memory.
void GatherRows(const KernelTable& kernels,
                const TensorView<const float, 2>& hidden,
                std::span<const int32_t> rows,
                ExecutionContext& context,
                const TensorView<float, 2>& gathered);

/// Whether each row is finite: [num_rows] of 1 or 0 in the host's memory, valid as long as what
/// HostScratch(context) gives out now.
TensorView<const int32_t, 1> CheckFinite(const KernelTable& kernels,
                                         const TensorView<const float, 2>& hidden,
                                         ExecutionContext& context);

}  // namespace hadal
