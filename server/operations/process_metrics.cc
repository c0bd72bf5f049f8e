#include "server/operations/process_metrics.h"

#include <charconv>
#include <cstdint>
#include <dirent.h>
#include <fstream>
#include <iterator>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include <absl/strings/ascii.h>

namespace hadal {
namespace {

// Fields of /proc/PID/stat after the name, counted from 0; proc(5) counts from 3.
constexpr int kUserTicks = 11;
constexpr int kSystemTicks = 12;
constexpr int kNumThreads = 17;
constexpr int kStartTicks = 19;

// The next word of `text`, which is cut off.
std::string_view NextWord(std::string_view& text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \n"), text.size()));
  const std::string_view word = text.substr(0, text.find_first_of(" \n"));
  text.remove_prefix(word.size());
  return word;
}

std::optional<double> NumberOf(std::string_view word) {
  double number = 0;
  const auto [rest, error] = std::from_chars(word.begin(), word.end(), number);
  return error == std::errc() && rest == word.end() ? std::optional(number) : std::nullopt;
}

std::string ReadProc(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// The number after `key` at the beginning of a line of `text`.
std::optional<double> NumberAfter(const std::string& text, const std::string& key) {
  const size_t line = text.find("\n" + key + " ");
  if (line == std::string::npos) {
    return std::nullopt;
  }
  std::string_view rest = std::string_view(text).substr(line + 1 + key.size());
  return NumberOf(NextWord(rest));
}

// Linux says the number as the folder's size since 6.2; counting 10,000 entries would take
// milliseconds.
std::optional<double> NumOpenFiles() {
  struct stat folder = {};
  if (stat("/proc/self/fd", &folder) == 0 && folder.st_size > 0) {
    return static_cast<double>(folder.st_size);
  }
  DIR* const entries = opendir("/proc/self/fd");
  if (entries == nullptr) {
    return std::nullopt;
  }
  int64_t num_entries = 0;
  while (const dirent* entry = readdir(entries)) {
    num_entries += entry->d_name[0] != '.' ? 1 : 0;
  }
  closedir(entries);
  return static_cast<double>(num_entries - 1);  // one was that of the folder itself
}

class Families {
 public:
  void Add(const std::string& name,
           const std::string& help,
           MetricType type,
           std::optional<double> value) {
    if (!value.has_value()) {
      return;
    }
    MetricFamily& family = families_.emplace_back();
    family.name = name;
    family.help = help;
    family.type = type;
    MetricSample& metric = family.samples.emplace_back();
    metric.value = *value;
  }

  std::vector<MetricFamily> Take() { return std::move(families_); }

 private:
  std::vector<MetricFamily> families_;
};

}  // namespace

std::optional<ProcessStat> ParseProcessStat(std::string_view line) {
  const size_t name_end = line.rfind(')');
  if (name_end == std::string_view::npos) {
    return std::nullopt;
  }
  line.remove_prefix(name_end + 1);
  ProcessStat stat;
  for (int field = 0; field <= kStartTicks; ++field) {
    const std::optional<double> number = NumberOf(NextWord(line));
    if (field == 0) {
      continue;  // the state, a letter
    }
    if (!number.has_value()) {
      return std::nullopt;
    }
    if (field == kUserTicks || field == kSystemTicks) {
      stat.cpu_ticks += *number;
    } else if (field == kNumThreads) {
      stat.num_threads = *number;
    } else if (field == kStartTicks) {
      stat.start_ticks = *number;
    }
  }
  return stat;
}

std::vector<MetricFamily> ProcessMetrics::Collect() const {
  Families families;
  if (const auto stat = ParseProcessStat(ReadProc("/proc/self/stat"))) {
    const auto ticks_per_second = static_cast<double>(sysconf(_SC_CLK_TCK));
    families.Add("process_cpu_seconds_total",
                 "CPU time of the process, user and system.",
                 MetricType::kCounter,
                 stat->cpu_ticks / ticks_per_second);
    families.Add(
        "process_threads", "Threads of the process.", MetricType::kGauge, stat->num_threads);
    if (const auto boot_time = NumberAfter(ReadProc("/proc/stat"), "btime")) {
      families.Add("process_start_time_seconds",
                   "When the process started, in seconds since 1970.",
                   MetricType::kGauge,
                   *boot_time + stat->start_ticks / ticks_per_second);
    }
  }
  const std::string memory = ReadProc("/proc/self/statm");
  std::string_view words = memory;
  const auto page_size = static_cast<double>(sysconf(_SC_PAGESIZE));
  const std::optional<double> virtual_pages = NumberOf(NextWord(words));
  const std::optional<double> resident_pages = NumberOf(NextWord(words));
  if (virtual_pages.has_value() && resident_pages.has_value()) {
    families.Add("process_virtual_memory_bytes",
                 "Virtual memory of the process.",
                 MetricType::kGauge,
                 *virtual_pages * page_size);
    families.Add("process_resident_memory_bytes",
                 "Memory of the process that is in RAM.",
                 MetricType::kGauge,
                 *resident_pages * page_size);
  }
  families.Add("process_open_fds", "Open files and sockets.", MetricType::kGauge, NumOpenFiles());
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    families.Add("process_max_fds",
                 "Most files and sockets that may be open.",
                 MetricType::kGauge,
                 static_cast<double>(limit.rlim_cur));
  }
  return families.Take();
}

}  // namespace hadal
