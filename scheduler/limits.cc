#include "scheduler/limits.h"

#include <array>

#include <absl/strings/str_format.h>

#include "engine/api/executor.h"

namespace hadal {
namespace {

constexpr int64_t kMaxCount = int64_t{1} << 30U;  // sums of a few still fit int32_t or int64_t
constexpr Duration kMaxDuration = std::chrono::hours(24 * 365);

struct Count {
  const char* name;
  int64_t value;
  int64_t min = 1;
  int64_t max = kMaxCount;
};

struct Time {
  const char* name;
  Duration value;
};

std::array<Count, 14> CountsOf(const Limits& limits) {
  return {{{"vocab_size", limits.vocab_size},
           {"max_running_sequences", limits.max_running_sequences},
           {"max_step_tokens", limits.max_step_tokens},
           {"max_draft_tokens", limits.max_draft_tokens, 0, kMaxDraftTokens},
           {"max_requests", limits.max_requests},
           {"max_waiting_tokens", limits.max_waiting_tokens},
           {"max_sequence_tokens", limits.max_sequence_tokens, 2},
           {"max_sequences_per_request", limits.max_sequences_per_request},
           {"max_logprobs", limits.max_logprobs, 0},
           {"max_stop_token_ids", limits.max_stop_token_ids, 0},
           {"max_logit_biases", limits.max_logit_biases, 0},
           {"num_blocks", limits.num_blocks},
           {"min_chunk_tokens", limits.min_chunk_tokens},
           {"fairness_quantum_tokens", limits.fairness_quantum_tokens}}};
}

std::array<Time, 3> TimesOf(const Limits& limits) {
  return {{{"target_step_time", limits.target_step_time},
           {"starvation_age", limits.starvation_age},
           {"default_patience", limits.default_patience}}};
}

double Seconds(Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace

absl::Status ValidateLimits(const Limits& limits) {
  for (const Count& count : CountsOf(limits)) {
    if (count.value < count.min || count.value > count.max) {
      return InvalidArgument("%s: expected a number from %d to %d, found %d",
                             count.name,
                             count.min,
                             count.max,
                             count.value);
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
  for (const Time& time : TimesOf(limits)) {
    if (time.value <= Duration::zero() || time.value > kMaxDuration) {
      return InvalidArgument(
          "%s: expected a time from above 0 to a year, found %g s", time.name, Seconds(time.value));
    }
  }
  return absl::OkStatus();
}

std::string Describe(const Limits& limits) {
  std::string text;
  for (const Count& count : CountsOf(limits)) {
    absl::StrAppendFormat(&text, "%s %d, ", count.name, count.value);
  }
  for (const Time& time : TimesOf(limits)) {
    absl::StrAppendFormat(&text, "%s %g s, ", time.name, Seconds(time.value));
  }
  absl::StrAppendFormat(&text, "watermark %g", limits.watermark);
  return text;
}

}  // namespace hadal
