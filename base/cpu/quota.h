#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace hadal {

/// How much processor time a group of processes may use for each unit of time: 1.5 is one CPU and a
/// half. A container's limit of CPUs is one. Nothing stands for no limit.
using CpuQuota = std::optional<double>;

/// Of cgroup v2's cpu.max: "QUOTA PERIOD" in microseconds, or "max PERIOD". What is neither counts
/// as no limit.
CpuQuota ParseCpuMax(std::string_view text);

/// Of cgroup v1's cpu.cfs_quota_us and cpu.cfs_period_us. A quota that is not positive, and what is
/// no number, count as no limit.
CpuQuota ParseCfsQuota(std::string_view quota, std::string_view period);

/// The groups that limit a process, as paths below where each hierarchy is mounted; empty where it
/// is in none. "/" is a hierarchy's root.
struct CgroupPaths {
  std::string unified;  // v2
  std::string cpu;      // v1's controller of CPUs
};

/// Of /proc/PID/cgroup. Lines that are not of its form are passed over.
CgroupPaths ParseCgroupPaths(std::string_view text);

/// The tightest quota of the groups that this process is in, up to the root. `root` is put in front
/// of "/proc" and "/sys" (a test's folder; empty for the machine).
CpuQuota ReadCpuQuota(const std::string& root);

}  // namespace hadal
