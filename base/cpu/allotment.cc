#include "base/cpu/allotment.h"

#include <algorithm>
#include <thread>

#include "base/cpu/topology.h"

namespace hadal {
namespace {

// The part of a CPU that is left over serves the process's other threads.
int32_t Bounded(int32_t num_threads, const CpuQuota& quota) {
  // The comparison comes first: a quota may be larger than an integer can be.
  if (quota.has_value() && *quota < static_cast<double>(num_threads)) {
    num_threads = static_cast<int32_t>(*quota);
  }
  return std::max(num_threads, 1);
}

}  // namespace

CpuAllotment ReadCpuAllotment() {
  CpuAllotment allotment;
  const std::vector<Cpu> cpus = ReadCpus("/sys/devices/system/cpu", UsableCpuIds());
  allotment.cpu_ids = CoresFirst(cpus);
  allotment.num_cores =
      cpus.empty() ? static_cast<int32_t>(std::thread::hardware_concurrency()) : NumCores(cpus);
  allotment.quota = ReadCpuQuota("");
  return allotment;
}

int32_t NumRunningThreads(const CpuAllotment& allotment) {
  return Bounded(std::max(static_cast<int32_t>(allotment.cpu_ids.size()), allotment.num_cores),
                 allotment.quota);
}

int32_t DefaultNumThreads(const CpuAllotment& allotment) {
  return Bounded(allotment.num_cores, allotment.quota);
}

}  // namespace hadal
