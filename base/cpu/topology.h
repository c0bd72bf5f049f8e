#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace hadal {

/// A hardware thread, and the physical core that it is one of.
struct Cpu {
  int32_t id = 0;
  int32_t package_id = 0;
  int32_t core_id = 0;  // within its package

  friend bool operator==(const Cpu&, const Cpu&) = default;
};

/// The CPUs that the calling thread may run on (its affinity), in rising order; empty when the
/// system does not tell.
std::vector<int32_t> UsableCpuIds();

/// Where these CPUs are, as `folder` says ("/sys/devices/system/cpu" outside tests). One whose core
/// is not known counts as a core of its own.
std::vector<Cpu> ReadCpus(const std::string& folder, std::span<const int32_t> cpu_ids);

/// How many cores the CPUs belong to.
int32_t NumCores(std::span<const Cpu> cpus);

/// The CPUs' ids: the first of each core as they come, then each core's second, and so on.
std::vector<int32_t> CoresFirst(std::span<const Cpu> cpus);

}  // namespace hadal
