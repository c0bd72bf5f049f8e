#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <boost/json/object.hpp>

#include "base/clock.h"
#include "engine/api/finish_reason.h"
#include "scheduler/scheduler_loop.h"

namespace hadal {

/// What was seen of one request.
struct RequestRecord {
  int64_t num_prompt_tokens = 0;
  int64_t num_cached_tokens = 0;  // of the prompt, found in the prefix cache
  TimePoint arrival{};
  std::optional<TimePoint> admitted;  // its first step began
  std::vector<TimePoint> tokens;      // when each became readable
  TimePoint end{};
  FinishReason reason = FinishReason::kFailed;

  /// Whether its answer came to its end, or to the length that it asked for.
  [[nodiscard]] bool completed() const {
    return reason == FinishReason::kLength || reason == FinishReason::kStop;
  }
};

/// Sums over the steps that gave one token to each of their sequences: among these, over those of
/// the most sequences. So prompts of a load that all start at once do not count.
struct WidestDecode {
  int64_t num_sequences = 0;  // of each such step
  int64_t num_steps = 0;
  Duration total{};

  void Add(const StepReport& step);
  [[nodiscard]] double TokensPerSecond() const;
};

/// Sums over steps.
struct StepTotals {
  int64_t num_steps = 0;
  int64_t num_tokens = 0;
  int64_t num_sequences = 0;
  int64_t num_preemptions = 0;
  std::array<int64_t, kMaxDraftTokens> drafted = {};   // tokens, by place behind the known ones
  std::array<int64_t, kMaxDraftTokens> accepted = {};  // of these
  Duration plan{};
  Duration forward{};
  Duration sample{};
  Duration draft{};
  Duration apply{};
  Duration total{};
  WidestDecode widest_decode;

  void Add(const StepReport& step);
};

/// Mean and percentiles of some numbers; all zero when there are none. The p-th percentile is the
/// nearest rank's: the smallest of the numbers that at least p % of them do not exceed.
struct Distribution {
  int64_t count = 0;
  double mean = 0;
  double p50 = 0;
  double p90 = 0;
  double p99 = 0;
  double max = 0;
};
Distribution Distribute(std::vector<double> numbers);

/// What a benchmark found. Rates and latencies are those of requests that completed.
struct BenchReport {
  boost::json::object configuration;  // what was asked for, echoed
  double wall_time_s = 0;             // from the start to the end of the last request
  int64_t num_completed = 0;
  int64_t num_failed = 0;
  int64_t num_prompt_tokens = 0;  // cached ones among them
  int64_t num_output_tokens = 0;
  int64_t num_cached_tokens = 0;
  Distribution queue_time_ms;           // from arrival to admission
  Distribution ttft_ms;                 // from arrival to the first token
  Distribution inter_token_latency_ms;  // between neighbouring tokens of a request
  Distribution e2e_latency_ms;          // from arrival to the end
  StepTotals steps;

  [[nodiscard]] double PerSecond(int64_t count) const;
};

/// Sums up `records`. `start`: when the first request could arrive.
BenchReport MakeBenchReport(std::span<const RequestRecord> records,
                            const StepTotals& steps,
                            TimePoint start);

/// docs/command-line.md lists the keys. A statistic of nothing is null.
boost::json::object ToJson(const BenchReport& report);

/// Tables for people, without the configuration.
std::string Describe(const BenchReport& report);

}  // namespace hadal
