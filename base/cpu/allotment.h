#pragma once

#include <cstdint>
#include <vector>

#include "base/cpu/quota.h"

namespace hadal {

/// What of the machine's processors this process may use.
struct CpuAllotment {
  std::vector<int32_t> cpu_ids;  // one of each core first (CoresFirst); empty when not known
  int32_t num_cores = 1;         // physical ones that they belong to
  CpuQuota quota;                // of processor time
};

/// As the affinity of the calling thread, the topology and the control groups are now.
CpuAllotment ReadCpuAllotment();

/// How many threads can run at the same time without waiting for one another: one for each CPU, no
/// more than the quota lets run all the time. At least 1.
int32_t NumRunningThreads(const CpuAllotment& allotment);

/// How many threads compute fastest: one for each physical core, no more than the quota lets run
/// all the time. Threads that share a core share its arithmetic units and its path to memory, of
/// which a kernel leaves nothing over. At least 1.
int32_t DefaultNumThreads(const CpuAllotment& allotment);

}  // namespace hadal
