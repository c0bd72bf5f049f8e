#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/operations/metric.h"

namespace hadal {

/// What one line of /proc/PID/stat says, in clock ticks and threads.
struct ProcessStat {
  double cpu_ticks = 0;    // of user and system together
  double start_ticks = 0;  // since boot
  double num_threads = 0;
};

/// Nothing for a line of another form. A process may have any name, with blanks and brackets in it.
std::optional<ProcessStat> ParseProcessStat(std::string_view line);

/// The metrics process_* that all Prometheus clients have, of this process, read from /proc at each
/// scrape. What cannot be read is left out. Any thread.
class ProcessMetrics final : public Collectable {
 public:
  [[nodiscard]] std::vector<MetricFamily> Collect() const override;
};

}  // namespace hadal
