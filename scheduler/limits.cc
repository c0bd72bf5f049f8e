#include "scheduler/limits.h"

#include <limits>

#include <absl/strings/str_format.h>

#include "engine/api/forward_batch.h"

namespace hadal {
namespace {

constexpr int64_t kMaxCount = int64_t{1} << 30U;  // sums of a few still fit int32_t or int64_t

struct Bound {
  const char* name;
  int64_t value;
  int64_t min;
};

double Seconds(Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace

absl::Status ValidateLimits(const Limits& limits) {
  for (const Bound& bound :
       {Bound{"vocab_size", limits.vocab_size, 1},
        Bound{"max_running_sequences", limits.max_running_sequences, 1},
        Bound{"max_step_tokens", limits.max_step_tokens, 1},
        Bound{"max_requests", limits.max_requests, 1},
        Bound{"max_waiting_tokens", limits.max_waiting_tokens, 1},
        Bound{"max_sequence_tokens", limits.max_sequence_tokens, 2},
        Bound{"max_sequences_per_request", limits.max_sequences_per_request, 1},
        Bound{"num_blocks", limits.num_blocks, 1},
        Bound{"min_chunk_tokens", limits.min_chunk_tokens, 1},
        Bound{"fairness_quantum_tokens", limits.fairness_quantum_tokens, 1}}) {
    if (bound.value < bound.min || bound.value > kMaxCount) {
      return InvalidArgument("%s: expected a number from %d to %d, found %d",
                             bound.name,
                             bound.min,
                             kMaxCount,
                             bound.value);
    }
  }
  if (limits.max_running_sequences > limits.max_step_tokens) {
    return InvalidArgument(
        "max_running_sequences: %d sequences cannot each have a token in a step of "
        "max_step_tokens %d",
        limits.max_running_sequences,
        limits.max_step_tokens);
  }
  if (!(limits.watermark >= 0 && limits.watermark < 1)) {
    return InvalidArgument("watermark: expected a share from 0 to below 1, found %g",
                           limits.watermark);
  }
  for (const auto& [name, duration] : {std::pair{"target_step_time", limits.target_step_time},
                                       std::pair{"starvation_age", limits.starvation_age},
                                       std::pair{"default_patience", limits.default_patience}}) {
    if (duration <= Duration::zero() || duration > std::chrono::hours(24 * 365)) {
      return InvalidArgument(
          "%s: expected a time from above 0 to a year, found %g s", name, Seconds(duration));
    }
  }
  return absl::OkStatus();
}

std::string Describe(const Limits& limits) {
  std::string table;
  for (const auto& [name, value] :
       {std::pair{"vocab_size", limits.vocab_size},
        std::pair{"max_running_sequences", limits.max_running_sequences},
        std::pair{"max_step_tokens", limits.max_step_tokens},
        std::pair{"max_requests", limits.max_requests},
        std::pair{"max_waiting_tokens", limits.max_waiting_tokens},
        std::pair{"max_sequence_tokens", limits.max_sequence_tokens},
        std::pair{"max_sequences_per_request", limits.max_sequences_per_request},
        std::pair{"num_blocks", limits.num_blocks},
        std::pair{"min_chunk_tokens", limits.min_chunk_tokens},
        std::pair{"fairness_quantum_tokens", limits.fairness_quantum_tokens}}) {
    absl::StrAppendFormat(&table, "%-26s %d\n", name, value);
  }
  absl::StrAppendFormat(&table, "%-26s %g\n", "watermark", limits.watermark);
  for (const auto& [name, duration] : {std::pair{"target_step_time", limits.target_step_time},
                                       std::pair{"starvation_age", limits.starvation_age},
                                       std::pair{"default_patience", limits.default_patience}}) {
    absl::StrAppendFormat(&table, "%-26s %g s\n", name, Seconds(duration));
  }
  return table;
}

}  // namespace hadal
