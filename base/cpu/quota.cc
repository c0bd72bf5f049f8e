#include "base/cpu/quota.h"

#include <algorithm>
#include <cstdint>
#include <functional>

#include "base/cpu/system_file.h"

namespace hadal {
namespace {

CpuQuota MakeQuota(std::optional<int64_t> quota_us, std::optional<int64_t> period_us) {
  if (!quota_us.has_value() || !period_us.has_value() || *quota_us <= 0 || *period_us <= 0) {
    return std::nullopt;
  }
  return static_cast<double>(*quota_us) / static_cast<double>(*period_us);
}

CpuQuota Tighter(CpuQuota a, CpuQuota b) {
  if (a.has_value() && b.has_value()) {
    return std::min(*a, *b);
  }
  return a.has_value() ? a : b;
}

// "cpu,cpuacct" has "cpu".
bool HasName(std::string_view list, std::string_view name) {
  while (true) {
    const size_t comma = list.find(',');
    if (list.substr(0, comma) == name) {
      return true;
    }
    if (comma == std::string_view::npos) {
      return false;
    }
    list.remove_prefix(comma + 1);
  }
}

CpuQuota ReadCpuMax(const std::string& group) {
  const std::optional<std::string> text = ReadSystemFile(group + "/cpu.max");
  return text.has_value() ? ParseCpuMax(*text) : std::nullopt;
}

CpuQuota ReadCfsQuota(const std::string& group) {
  const std::optional<std::string> quota = ReadSystemFile(group + "/cpu.cfs_quota_us");
  const std::optional<std::string> period = ReadSystemFile(group + "/cpu.cfs_period_us");
  return quota.has_value() && period.has_value() ? ParseCfsQuota(*quota, *period) : std::nullopt;
}

// The tightest of the group and those that it is in. In a container the path may be one of the
// host, which is not there, while the root is the container's own group.
CpuQuota TightestOnPath(const std::string& mount,
                        std::string path,
                        const std::function<CpuQuota(const std::string&)>& read) {
  CpuQuota tightest;
  // A process that was moved out of its namespace's root has a path that begins with "/..".
  while (!path.empty() && path != "/" && path.find("/..") == std::string::npos) {
    tightest = Tighter(tightest, read(mount + path));
    path.resize(std::min(path.size(), path.rfind('/')));
  }
  return Tighter(tightest, read(mount));
}

}  // namespace

CpuQuota ParseCpuMax(std::string_view text) {
  const size_t space = text.find(' ');
  if (space == std::string_view::npos) {
    return std::nullopt;
  }
  return MakeQuota(ParseSystemNumber(text.substr(0, space)),
                   ParseSystemNumber(text.substr(space + 1)));
}

CpuQuota ParseCfsQuota(std::string_view quota, std::string_view period) {
  return MakeQuota(ParseSystemNumber(quota), ParseSystemNumber(period));
}

CgroupPaths ParseCgroupPaths(std::string_view text) {
  CgroupPaths paths;
  while (!text.empty()) {
    const size_t line_end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, line_end);
    text.remove_prefix(std::min(line_end + 1, text.size()));
    // HIERARCHY:CONTROLLERS:PATH
    const size_t first = line.find(':');
    const size_t second = first == std::string_view::npos ? first : line.find(':', first + 1);
    if (second == std::string_view::npos || !line.substr(second + 1).starts_with('/')) {
      continue;
    }
    const std::string_view controllers = line.substr(first + 1, second - first - 1);
    const std::string_view path = line.substr(second + 1);
    if (controllers.empty() && line.substr(0, first) == "0") {
      paths.unified = path;
    } else if (HasName(controllers, "cpu")) {
      paths.cpu = path;
    }
  }
  return paths;
}

CpuQuota ReadCpuQuota(const std::string& root) {
  const std::optional<std::string> text = ReadSystemFile(root + "/proc/self/cgroup");
  if (!text.has_value()) {
    return std::nullopt;
  }
  const CgroupPaths paths = ParseCgroupPaths(*text);
  const std::string mount = root + "/sys/fs/cgroup";
  CpuQuota tightest;
  if (!paths.unified.empty()) {
    tightest = TightestOnPath(mount, paths.unified, &ReadCpuMax);
  }
  if (!paths.cpu.empty()) {
    // Mounted by one name or by all that share the hierarchy.
    for (const char* name : {"/cpu", "/cpu,cpuacct"}) {
      tightest = Tighter(tightest, TightestOnPath(mount + name, paths.cpu, &ReadCfsQuota));
    }
  }
  return tightest;
}

}  // namespace hadal
