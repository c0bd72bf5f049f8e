#include "base/cpu/topology.h"

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <optional>
#include <sched.h>
#include <utility>

#include <absl/strings/str_format.h>

#include "base/cpu/system_file.h"

namespace hadal {
namespace {

using Core = std::pair<int32_t, int32_t>;  // package, core

// Of a machine with more, the system tells no affinity.
constexpr int32_t kMaxCpus = 8192;

// Not negative: the kernel writes -1 for what it does not know.
std::optional<int32_t> ReadId(const std::string& path) {
  const std::optional<std::string> text = ReadSystemFile(path);
  const std::optional<int64_t> id = text.has_value() ? ParseSystemNumber(*text) : std::nullopt;
  if (!id.has_value() || *id < 0 || *id > std::numeric_limits<int32_t>::max()) {
    return std::nullopt;
  }
  return static_cast<int32_t>(*id);
}

}  // namespace

std::vector<int32_t> UsableCpuIds() {
  std::array<cpu_set_t, kMaxCpus / CPU_SETSIZE> sets{};
  std::vector<int32_t> ids;
  if (sched_getaffinity(0, sizeof(sets), sets.data()) == 0) {
    for (int32_t id = 0; id < kMaxCpus; ++id) {
      if (CPU_ISSET_S(static_cast<size_t>(id), sizeof(sets), sets.data())) {
        ids.push_back(id);
      }
    }
  }
  return ids;
}

std::vector<Cpu> ReadCpus(const std::string& folder, std::span<const int32_t> cpu_ids) {
  std::vector<Cpu> cpus;
  cpus.reserve(cpu_ids.size());
  for (const int32_t id : cpu_ids) {
    const std::string topology = absl::StrFormat("%s/cpu%d/topology/", folder, id);
    const std::optional<int32_t> package = ReadId(topology + "physical_package_id");
    const std::optional<int32_t> core = ReadId(topology + "core_id");
    // No package has the number -1, so such cores are not taken for others.
    cpus.push_back(package.has_value() && core.has_value()
                       ? Cpu{.id = id, .package_id = *package, .core_id = *core}
                       : Cpu{.id = id, .package_id = -1, .core_id = id});
  }
  return cpus;
}

int32_t NumCores(std::span<const Cpu> cpus) {
  std::map<Core, int32_t> cores;
  for (const Cpu& cpu : cpus) {
    ++cores[{cpu.package_id, cpu.core_id}];
  }
  return static_cast<int32_t>(cores.size());
}

std::vector<int32_t> CoresFirst(std::span<const Cpu> cpus) {
  std::map<Core, int32_t> num_seen;
  std::vector<std::pair<int32_t, int32_t>> ranked;  // how many of its core come before; id
  ranked.reserve(cpus.size());
  for (const Cpu& cpu : cpus) {
    ranked.emplace_back(num_seen[{cpu.package_id, cpu.core_id}]++, cpu.id);
  }
  std::stable_sort(
      ranked.begin(), ranked.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<int32_t> ids;
  ids.reserve(ranked.size());
  for (const auto& [rank, id] : ranked) {
    ids.push_back(id);
  }
  return ids;
}

}  // namespace hadal
