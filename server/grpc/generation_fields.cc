#include "server/grpc/generation_fields.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <string>
#include <utility>

#include "proto/hadal/v1/inference.pb.h"

namespace hadal {
namespace {

constexpr float kMinPositive = 1e-6F;
constexpr int64_t kMaxInt32 = std::numeric_limits<int32_t>::max();

struct FloatRange {
  float min;
  float max;
};

struct IntRange {
  int64_t min;
  int64_t max;
};

// NaN is in no range.
absl::Status CheckFloat(std::string_view path, float value, FloatRange range) {
  if (value >= range.min && value <= range.max) {
    return absl::OkStatus();
  }
  return InvalidArgument(
      "%s: expected a number from %g to %g, found %g", path, range.min, range.max, value);
}

absl::Status CheckInt(std::string_view path, int64_t value, IntRange range) {
  if (value >= range.min && value <= range.max) {
    return absl::OkStatus();
  }
  return InvalidArgument(
      "%s: expected an integer from %d to %d, found %d", path, range.min, range.max, value);
}

absl::Status CheckAtMost(std::string_view path, int64_t max, std::string_view unit, int64_t found) {
  if (found <= max) {
    return absl::OkStatus();
  }
  return InvalidArgument("%s: at most %d %s are allowed, found %d", path, max, unit, found);
}

absl::StatusOr<SamplingParams> ReadSampling(const v1::GenerationParams& message) {
  SamplingParams sampling;
  if (message.has_temperature()) {
    sampling.temperature = message.temperature();
  }
  if (message.has_top_p()) {
    sampling.top_p = message.top_p();
  }
  if (message.has_top_k()) {
    sampling.top_k = message.top_k();
  }
  if (message.has_min_p()) {
    sampling.min_p = message.min_p();
  }
  if (message.has_presence_penalty()) {
    sampling.presence_penalty = message.presence_penalty();
  }
  if (message.has_frequency_penalty()) {
    sampling.frequency_penalty = message.frequency_penalty();
  }
  if (message.has_repetition_penalty()) {
    sampling.repetition_penalty = message.repetition_penalty();
  }
  RETURN_IF_ERROR(CheckFloat("params.temperature", sampling.temperature, {0, 2}));
  RETURN_IF_ERROR(CheckFloat("params.top_p", sampling.top_p, {0, 1}));
  RETURN_IF_ERROR(CheckInt("params.top_k", sampling.top_k, {-1, kMaxInt32}));
  RETURN_IF_ERROR(CheckFloat("params.min_p", sampling.min_p, {0, 1}));
  RETURN_IF_ERROR(CheckFloat("params.presence_penalty", sampling.presence_penalty, {-2, 2}));
  RETURN_IF_ERROR(CheckFloat("params.frequency_penalty", sampling.frequency_penalty, {-2, 2}));
  RETURN_IF_ERROR(
      CheckFloat("params.repetition_penalty", sampling.repetition_penalty, {kMinPositive, 100}));
  // 0 keeps the best token alone, as any share does that is small enough; -1 keeps all, as 0 does.
  sampling.top_p = std::max(sampling.top_p, kMinPositive);
  sampling.top_k = std::max(sampling.top_k, 0);
  return sampling;
}

absl::StatusOr<std::vector<std::pair<TokenId, float>>> ReadLogitBias(
    const v1::GenerationParams& message, const GenerationLimits& limits) {
  RETURN_IF_ERROR(CheckAtMost(
      "params.logit_bias", limits.max_logit_bias, "entries", message.logit_bias_size()));
  std::vector<std::pair<TokenId, float>> biases;
  for (const v1::LogitBias& entry : message.logit_bias()) {
    RETURN_IF_ERROR(CheckInt("params.logit_bias.token", entry.token(), {0, kMaxInt32}));
    RETURN_IF_ERROR(CheckFloat("params.logit_bias.bias", entry.bias(), {-100, 100}));
    biases.emplace_back(entry.token(), entry.bias());
  }
  std::ranges::sort(biases);
  const auto twice = std::ranges::adjacent_find(
      biases, [](const auto& a, const auto& b) { return a.first == b.first; });
  if (twice != biases.end()) {
    return InvalidArgument("params.logit_bias: token %d occurs twice", twice->first);
  }
  return biases;
}

absl::Status ReadStops(const v1::GenerationParams& message,
                       const GenerationLimits& limits,
                       GenerationParams& params) {
  RETURN_IF_ERROR(
      CheckAtMost("params.stop", limits.max_stop_strings, "strings", message.stop_size()));
  for (const std::string& stop : message.stop()) {
    if (stop.empty()) {
      return InvalidArgument("params.stop: a string is empty");
    }
    RETURN_IF_ERROR(CheckAtMost("params.stop", limits.max_stop_bytes, "bytes", std::ssize(stop)));
    params.stop.push_back(stop);
  }
  RETURN_IF_ERROR(CheckAtMost(
      "params.stop_token_ids", limits.max_stop_token_ids, "ids", message.stop_token_ids_size()));
  for (const TokenId token : message.stop_token_ids()) {
    RETURN_IF_ERROR(CheckInt("params.stop_token_ids", token, {0, kMaxInt32}));
    params.stop_token_ids.push_back(token);
  }
  return absl::OkStatus();
}

absl::Status ReadCounts(const v1::GenerationParams& message,
                        const GenerationLimits& limits,
                        GenerationParams& params) {
  if (message.has_max_tokens()) {
    RETURN_IF_ERROR(CheckInt("params.max_tokens", message.max_tokens(), {1, kMaxInt32}));
    params.max_tokens = message.max_tokens();
  }
  if (message.has_min_tokens()) {
    params.min_tokens = message.min_tokens();
    RETURN_IF_ERROR(CheckInt(
        "params.min_tokens", params.min_tokens, {0, params.max_tokens.value_or(kMaxInt32)}));
  }
  if (message.has_n()) {
    RETURN_IF_ERROR(CheckInt("params.n", message.n(), {1, limits.max_n}));
    params.n = message.n();
  }
  if (message.has_logprobs()) {
    RETURN_IF_ERROR(CheckInt("params.logprobs", message.logprobs(), {0, limits.max_logprobs}));
    params.sampling.num_logprobs = message.logprobs();
  }
  if (message.has_priority()) {
    RETURN_IF_ERROR(CheckInt(
        "params.priority", message.priority(), {limits.min_priority, limits.max_priority}));
    params.priority = message.priority();
  }
  if (message.has_target_tpot_ms()) {
    const float target = message.target_tpot_ms();
    RETURN_IF_ERROR(
        CheckFloat("params.target_tpot_ms", target, {kMinTargetTpotMs, kMaxTargetTpotMs}));
    params.target_tpot = FromMilliseconds(double{target});
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<GenerationParams> ReadGenerationParams(const v1::GenerationParams& message,
                                                      const GenerationLimits& limits) {
  GenerationParams params;
  ASSIGN_OR_RETURN(params.sampling, ReadSampling(message));
  ASSIGN_OR_RETURN(params.sampling.logit_bias, ReadLogitBias(message, limits));
  if (message.has_seed()) {
    params.seed = message.seed();
  }
  RETURN_IF_ERROR(ReadCounts(message, limits, params));
  RETURN_IF_ERROR(ReadStops(message, limits, params));
  params.ignore_eos = message.ignore_eos();
  RETURN_IF_ERROR(CheckAtMost(
      "params.cache_salt", limits.max_text_bytes, "bytes", std::ssize(message.cache_salt())));
  params.cache_salt = message.cache_salt();
  return params;
}

absl::StatusOr<std::optional<Duration>> TimeLeft(std::chrono::system_clock::time_point deadline,
                                                 std::chrono::system_clock::time_point now,
                                                 const GenerationLimits& limits) {
  if (deadline <= now) {
    return DeadlineExceeded("the deadline passed before the request was read");
  }
  if (deadline - now >= limits.max_timeout) {
    return std::optional<Duration>();
  }
  return std::optional(std::chrono::duration_cast<Duration>(deadline - now));
}

bool IsRequestId(std::string_view id) {
  constexpr size_t kMaxBytes = 64;
  return !id.empty() && id.size() <= kMaxBytes &&
         id.find_first_not_of(
             "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz._-") ==
             std::string_view::npos;
}

}  // namespace hadal
