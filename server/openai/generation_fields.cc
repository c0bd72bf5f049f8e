#include "server/openai/generation_fields.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <limits>
#include <optional>

#include "engine/text/chat/chat_json.h"
#include "server/openai/request_fields.h"

namespace hadal {
namespace {

constexpr int64_t kMaxInt32 = std::numeric_limits<int32_t>::max();

// The ranges that sampling_params.h gives; where the API is narrower, those of the API.
absl::StatusOr<SamplingParams> ReadSampling(const JsonFields& body) {
  constexpr double kMinPositive = 1e-6;
  SamplingParams sampling;
  ASSIGN_OR_RETURN(const double temperature, body.NumberOr("temperature", {0, 2}, 1));
  ASSIGN_OR_RETURN(const double top_p, body.NumberOr("top_p", {0, 1}, 1));
  ASSIGN_OR_RETURN(const double min_p, body.NumberOr("min_p", {0, 1}, 0));
  ASSIGN_OR_RETURN(const double presence, body.NumberOr("presence_penalty", {-2, 2}, 0));
  ASSIGN_OR_RETURN(const double frequency, body.NumberOr("frequency_penalty", {-2, 2}, 0));
  ASSIGN_OR_RETURN(const double repetition,
                   body.NumberOr("repetition_penalty", {kMinPositive, 100}, 1));
  ASSIGN_OR_RETURN(const int64_t top_k, body.IntOr("top_k", {-1, kMaxInt32}, 0));
  sampling.temperature = static_cast<float>(temperature);
  // 0 keeps the best token alone, as any share does that is small enough.
  sampling.top_p = static_cast<float>(std::max(top_p, kMinPositive));
  sampling.min_p = static_cast<float>(min_p);
  sampling.presence_penalty = static_cast<float>(presence);
  sampling.frequency_penalty = static_cast<float>(frequency);
  sampling.repetition_penalty = static_cast<float>(repetition);
  sampling.top_k = static_cast<int32_t>(std::max<int64_t>(top_k, 0));  // -1 keeps all, too
  return sampling;
}

// A token id as the key of an object: digits alone, none needless, so that equal ids are equal
// keys.
std::optional<TokenId> TokenOfKey(std::string_view key) {
  TokenId token = 0;
  const char* const end = key.data() + key.size();
  const auto [parsed, error] = std::from_chars(key.data(), end, token);
  const bool is_canonical = key == "0" || (!key.empty() && key[0] >= '1' && key[0] <= '9');
  if (error != std::errc() || parsed != end || !is_canonical) {
    return std::nullopt;
  }
  return token;
}

absl::StatusOr<std::vector<std::pair<TokenId, float>>> ReadLogitBias(
    const JsonFields& body, const GenerationLimits& limits) {
  std::vector<std::pair<TokenId, float>> biases;
  ASSIGN_OR_RETURN(const boost::json::object* const object, body.ObjectOrNull("logit_bias"));
  if (object == nullptr) {
    return biases;
  }
  const JsonFields fields(*object, "logit_bias");
  RETURN_IF_ERROR(CheckAtMost("logit_bias", limits.max_logit_bias, "entries", object->size()));
  for (const auto& entry : *object) {
    const std::string_view key(entry.key().data(), entry.key().size());
    const std::optional<TokenId> token = TokenOfKey(key);
    if (!token) {
      return InvalidArgument("logit_bias: expected token ids as keys, found %s",
                             DescribeJson(boost::json::value(entry.key())));
    }
    ASSIGN_OR_RETURN(const double bias, fields.Number(key, {-100, 100}));
    biases.emplace_back(*token, static_cast<float>(bias));
  }
  std::sort(biases.begin(), biases.end());
  return biases;
}

absl::Status AddStop(std::string_view text,
                     std::string_view path,
                     const GenerationLimits& limits,
                     std::vector<std::string>& stops) {
  if (text.empty()) {
    return InvalidArgument("%s: empty", path);
  }
  RETURN_IF_ERROR(CheckAtMost(path, limits.max_stop_bytes, "bytes", text.size()));
  stops.emplace_back(text);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> ReadStops(const JsonFields& body,
                                                   const GenerationLimits& limits) {
  std::vector<std::string> stops;
  const boost::json::value* const stop = body.Find("stop");
  if (stop == nullptr) {
    return stops;
  }
  if (stop->is_string()) {
    ASSIGN_OR_RETURN(const std::string_view text, body.String("stop"));
    RETURN_IF_ERROR(AddStop(text, "stop", limits, stops));
    return stops;
  }
  if (!stop->is_array()) {
    return body.Unexpected("stop", "a string or a list of strings");
  }
  const boost::json::array& list = stop->get_array();
  RETURN_IF_ERROR(CheckAtMost("stop", limits.max_stop_strings, "strings", list.size()));
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string path = PathOfItem("stop", i);
    ASSIGN_OR_RETURN(const std::string_view text, ReadString(list[i], path));
    RETURN_IF_ERROR(AddStop(text, path, limits, stops));
  }
  return stops;
}

absl::StatusOr<std::vector<TokenId>> ReadStopTokens(const JsonFields& body,
                                                    const GenerationLimits& limits) {
  if (body.Find("stop_token_ids") == nullptr) {
    return std::vector<TokenId>();
  }
  ASSIGN_OR_RETURN(const boost::json::array* const list, body.Array("stop_token_ids"));
  RETURN_IF_ERROR(CheckAtMost("stop_token_ids", limits.max_stop_token_ids, "ids", list->size()));
  return ReadTokenIds(*list, "stop_token_ids");
}

absl::StatusOr<std::optional<Duration>> ReadTimeout(const JsonFields& body,
                                                    const GenerationLimits& limits) {
  constexpr double kMinSeconds = 0.001;
  using Seconds = std::chrono::duration<double>;
  if (body.Find("timeout") == nullptr) {
    return std::optional<Duration>();
  }
  const double max_seconds = std::chrono::duration_cast<Seconds>(limits.max_timeout).count();
  ASSIGN_OR_RETURN(const double seconds, body.Number("timeout", {kMinSeconds, max_seconds}));
  return std::optional(std::chrono::duration_cast<Duration>(Seconds(seconds)));
}

absl::Status CheckBestOf(const JsonFields& body, int32_t n) {
  if (body.Find("best_of") == nullptr) {
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const int64_t best_of, body.Int("best_of", {1, kMaxInt32}));
  return best_of == n ? absl::OkStatus() : body.Unsupported("best_of", "the value of n");
}

absl::Status CheckResponseFormat(const JsonFields& body) {
  if (body.Find("response_format") == nullptr) {
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const JsonFields format, body.Object("response_format"));
  ASSIGN_OR_RETURN(const std::string_view type, format.String("type"));
  if (type != "text") {
    return Unimplemented("response_format: only {\"type\": \"text\"} is supported");
  }
  return CheckRequestFields(format, {"type"});
}

}  // namespace

absl::StatusOr<GenerationParams> ReadGenerationParams(const JsonFields& body,
                                                      const GenerationLimits& limits) {
  GenerationParams params;
  ASSIGN_OR_RETURN(params.sampling, ReadSampling(body));
  ASSIGN_OR_RETURN(params.sampling.logit_bias, ReadLogitBias(body, limits));
  if (body.Find("seed") != nullptr) {
    using Int = std::numeric_limits<int64_t>;
    ASSIGN_OR_RETURN(const int64_t seed, body.Int("seed", {Int::min(), Int::max()}));
    params.seed = static_cast<uint64_t>(seed);
  }
  ASSIGN_OR_RETURN(params.min_tokens, body.IntOr("min_tokens", {0, kTokenCounts.max}, 0));
  ASSIGN_OR_RETURN(const int64_t n, body.IntOr("n", {1, limits.max_n}, 1));
  params.n = static_cast<int32_t>(n);
  RETURN_IF_ERROR(CheckBestOf(body, params.n));
  ASSIGN_OR_RETURN(params.stop, ReadStops(body, limits));
  ASSIGN_OR_RETURN(params.stop_token_ids, ReadStopTokens(body, limits));
  ASSIGN_OR_RETURN(params.ignore_eos, body.BoolOr("ignore_eos", false));
  ASSIGN_OR_RETURN(params.cache_salt, body.StringOr("cache_salt", ""));
  RETURN_IF_ERROR(
      CheckAtMost("cache_salt", limits.max_text_bytes, "bytes", params.cache_salt.size()));
  if (body.Find("priority") != nullptr) {
    ASSIGN_OR_RETURN(const int64_t priority,
                     body.Int("priority", {limits.min_priority, limits.max_priority}));
    params.priority = static_cast<int32_t>(priority);
  }
  ASSIGN_OR_RETURN(params.timeout, ReadTimeout(body, limits));
  if (body.Find("target_tpot_ms") != nullptr) {
    ASSIGN_OR_RETURN(const double target,
                     body.Number("target_tpot_ms", {kMinTargetTpotMs, kMaxTargetTpotMs}));
    params.target_tpot = FromMilliseconds(target);
  }
  RETURN_IF_ERROR(CheckResponseFormat(body));
  return params;
}

absl::Status CheckTokenCounts(const GenerationParams& params) {
  if (params.max_tokens && params.min_tokens > *params.max_tokens) {
    return InvalidArgument(
        "min_tokens: expected at most %d, the most tokens that are asked for, "
        "found %d",
        *params.max_tokens,
        params.min_tokens);
  }
  return absl::OkStatus();
}

absl::StatusOr<Delivery> ReadDelivery(const JsonFields& body) {
  Delivery delivery;
  ASSIGN_OR_RETURN(delivery.stream, body.BoolOr("stream", false));
  if (body.Find("stream_options") == nullptr) {
    return delivery;
  }
  ASSIGN_OR_RETURN(const JsonFields options, body.Object("stream_options"));
  if (!delivery.stream) {
    return InvalidArgument("stream_options: only with \"stream\": true");
  }
  RETURN_IF_ERROR(CheckRequestFields(
      options, {"include_usage", "include_obfuscation", "continuous_usage_stats"}));
  ASSIGN_OR_RETURN(delivery.include_usage, options.BoolOr("include_usage", false));
  ASSIGN_OR_RETURN(delivery.include_obfuscation, options.BoolOr("include_obfuscation", false));
  ASSIGN_OR_RETURN(const bool continuous, options.BoolOr("continuous_usage_stats", false));
  if (continuous) {
    return options.Unsupported("continuous_usage_stats", "false");
  }
  return delivery;
}

absl::StatusOr<std::string> ReadModel(const JsonFields& body, const GenerationLimits& limits) {
  ASSIGN_OR_RETURN(const std::string_view model, body.StringOr("model", ""));
  RETURN_IF_ERROR(CheckAtMost("model", limits.max_text_bytes, "bytes", model.size()));
  return std::string(model);
}

absl::StatusOr<std::vector<TokenId>> ReadTokenIds(const boost::json::array& list,
                                                  std::string_view path) {
  std::vector<TokenId> tokens;
  tokens.reserve(list.size());
  for (size_t i = 0; i < list.size(); ++i) {
    const int64_t* const token = list[i].if_int64();
    if (token == nullptr || *token < 0 || *token > kMaxInt32) {
      return InvalidArgument("%s: expected an integer from 0 to %d, found %s",
                             PathOfItem(path, i),
                             kMaxInt32,
                             DescribeJson(list[i]));
    }
    tokens.push_back(static_cast<TokenId>(*token));
  }
  return tokens;
}

}  // namespace hadal
