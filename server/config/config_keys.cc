#include "server/config/config_keys.h"

#include <algorithm>
#include <array>
#include <limits>

#include "base/byte_size.h"
#include "base/checked_cast.h"

namespace hadal {
namespace {

using C = ServerConfig;

// A field's functions, made from where its member is: &C::http, &C::Http::port.
template <auto kSection, auto kMember>
struct Member {
  using Value = std::remove_cvref_t<decltype((C{}.*kSection).*kMember)>;

  static const Value& Of(const C& config) { return (config.*kSection).*kMember; }
  static Value& Of(C& config) { return (config.*kSection).*kMember; }
};

template <auto kSection, auto kMember>
constexpr IntegerField Integer(int64_t min, int64_t max) {
  using M = Member<kSection, kMember>;
  return {.get = [](const C& config) { return static_cast<int64_t>(M::Of(config)); },
          .set = [](C& config,
                    int64_t value) { M::Of(config) = CheckedCast<typename M::Value>(value); },
          .min = min,
          .max = max,
          .notation = IntegerNotation::kPlain};
}

template <auto kSection, auto kMember>
constexpr IntegerField Bytes(int64_t min, int64_t max) {
  IntegerField field = Integer<kSection, kMember>(min, max);
  field.notation = IntegerNotation::kBytes;
  return field;
}

template <auto kSection, auto kMember>
constexpr NumberField Number(double min, double max) {
  using M = Member<kSection, kMember>;
  return {.get = [](const C& config) { return M::Of(config); },
          .set = [](C& config, double value) { M::Of(config) = value; },
          .min = min,
          .max = max};
}

template <auto kSection, auto kMember>
constexpr BoolField Bool() {
  using M = Member<kSection, kMember>;
  return {.get = [](const C& config) { return M::Of(config); },
          .set = [](C& config, bool value) { M::Of(config) = value; }};
}

template <auto kSection, auto kMember>
constexpr TextField Text(std::string_view (*check)(std::string_view)) {
  using M = Member<kSection, kMember>;
  return {.get = [](const C& config) -> const std::string& { return M::Of(config); },
          .set = [](C& config, const std::string& value) { M::Of(config) = value; },
          .check = check};
}

template <auto kSection, auto kMember>
constexpr ListField List() {
  using M = Member<kSection, kMember>;
  return {.get = [](const C& config) -> const std::vector<std::string>& { return M::Of(config); },
          .set = [](C& config, const std::vector<std::string>& value) { M::Of(config) = value; }};
}

template <auto kSection, auto kMember>
constexpr ChoiceField Choice(std::span<const std::string_view> choices) {
  using M = Member<kSection, kMember>;
  return {.get = [](const C& config) -> std::string_view { return M::Of(config); },
          .set = [](C& config, std::string_view value) { M::Of(config) = value; },
          .choices = choices};
}

constexpr std::array<std::string_view, 10> kDraftTokens = {
    "auto", "0", "1", "2", "3", "4", "5", "6", "7", "8"};
constexpr std::array<std::string_view, 3> kWeights = {"native", "int8", "int4"};
constexpr std::array<std::string_view, 5> kCacheDTypes = {"auto", "bf16", "f32", "int8", "fp8"};
constexpr std::array<std::string_view, 2> kCacheSharing = {"tenant", "all"};

// By LogLevel.
constexpr std::array<std::string_view, 4> kLogLevels = {"debug", "info", "warning", "error"};

constexpr ChoiceField kLogLevel = {
    .get =
        [](const C& config) {
          return kLogLevels[static_cast<size_t>(config.operations.log_level)];
        },
    .set =
        [](C& config, std::string_view value) {
          const auto* const found = std::find(kLogLevels.begin(), kLogLevels.end(), value);
          config.operations.log_level = static_cast<LogLevel>(found - kLogLevels.begin());
        },
    .choices = kLogLevels};

std::string_view CheckNotEmpty(std::string_view text) {
  return text.empty() ? "a text that is not empty" : "";
}

std::string_view CheckCacheMemory(std::string_view text) {
  constexpr std::string_view kExpected = "\"auto\", a size such as 4GiB, or a share such as 50%";
  if (text == "auto") {
    return "";
  }
  if (text.ends_with('%')) {
    text.remove_suffix(1);
    const bool is_share =
        !text.empty() && text.size() <= 3 && text.front() != '0' &&
        std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; }) &&
        (text.size() < 3 || text == "100");
    return is_share ? "" : kExpected;
  }
  const absl::StatusOr<int64_t> bytes = ParseByteSize(text);
  return bytes.ok() && *bytes > 0 ? "" : kExpected;
}

std::string_view CheckVariable(std::string_view text) {
  const auto is_allowed = [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  };
  return std::all_of(text.begin(), text.end(), is_allowed)
             ? ""
             : "the name of an environment variable: letters, digits and '_'";
}

constexpr int64_t kMaxInt = std::numeric_limits<int32_t>::max();
constexpr double kDay = 24 * 3600;

constexpr std::array kKeys = {
    // model
    ConfigKey{"model",
              "path",
              "--model",
              "DIR",
              "Checkpoint folder: config.json, tokenizer.json, *.safetensors",
              Text<&C::model, &C::Model::path>(&CheckNotEmpty)},
    ConfigKey{"model",
              "names",
              "--served-model-name",
              "NAME",
              "What clients call the model, the folder's name by default; answers say the first",
              List<&C::model, &C::Model::names>()},
    ConfigKey{"model",
              "threads",
              "--threads",
              "N",
              "Kernel threads; 0: one for each usable core",
              Integer<&C::model, &C::Model::threads>(0, 4096)},
    ConfigKey{"model",
              "kernels",
              "--kernels",
              "NAMES",
              "Back end, and single ops replaced: cpu-avx2,mla_attention=reference",
              Text<&C::model, &C::Model::kernels>(&CheckNotEmpty)},
    ConfigKey{"model",
              "weights",
              "--weights",
              "FORMAT",
              "Format of large matrices: native (as published), int8 or int4, packed at the first "
              "start",
              Choice<&C::model, &C::Model::weights>(kWeights)},
    ConfigKey{"model",
              "cache_dtype",
              "--cache-dtype",
              "TYPE",
              "Element type of the latent cache; auto: f32 for f32 checkpoints, else bf16",
              Choice<&C::model, &C::Model::cache_dtype>(kCacheDTypes)},
    ConfigKey{"model",
              "cache_memory",
              "--cache-memory",
              "SIZE|PERCENT",
              "Memory for the cache, or the share of what weights and steps leave",
              Text<&C::model, &C::Model::cache_memory>(&CheckCacheMemory)},
    ConfigKey{"model",
              "max_context_tokens",
              "--max-context-tokens",
              "N",
              "Most tokens of a prompt and its answer; 0: the model's own limit",
              Integer<&C::model, &C::Model::max_context_tokens>(0, int64_t{1} << 28U)},
    // http
    ConfigKey{"http",
              "host",
              "--host",
              "ADDRESS",
              "Address to listen on; 0.0.0.0 or :: for all",
              Text<&C::http, &C::Http::host>(&CheckNotEmpty)},
    ConfigKey{"http",
              "port",
              "--port",
              "PORT",
              "Port to listen on; 0: any that is free",
              Integer<&C::http, &C::Http::port>(0, 65535)},
    ConfigKey{"http",
              "threads",
              "--io-threads",
              "N",
              "Threads for connections, JSON and text; 0: chosen by the number of CPUs",
              Integer<&C::http, &C::Http::threads>(0, 256)},
    ConfigKey{"http",
              "tls_certificate",
              "--tls-certificate",
              "FILE",
              "Certificate chain (PEM); with a key, HTTP is served over TLS",
              Text<&C::http, &C::Http::tls_certificate>(nullptr)},
    ConfigKey{"http",
              "tls_key",
              "--tls-key",
              "FILE",
              "Private key of the certificate (PEM)",
              Text<&C::http, &C::Http::tls_key>(nullptr)},
    ConfigKey{"http",
              "allowed_origins",
              "--allowed-origin",
              "ORIGIN",
              "Web sites whose pages may use the server; *: all",
              List<&C::http, &C::Http::allowed_origins>()},
    ConfigKey{"http",
              "allowed_hosts",
              "--allowed-host",
              "NAME",
              "Names in the Host header that are taken, besides addresses and localhost",
              List<&C::http, &C::Http::allowed_hosts>()},
    ConfigKey{"http",
              "max_connections",
              "--max-connections",
              "N",
              "Most connections at a time",
              Integer<&C::http, &C::Http::max_connections>(1, 1'000'000)},
    ConfigKey{"http",
              "max_connections_per_address",
              "--max-connections-per-address",
              "N",
              "Most connections from one address; 0: no limit",
              Integer<&C::http, &C::Http::max_connections_per_address>(0, 1'000'000)},
    ConfigKey{"http",
              "max_body_bytes",
              "--max-body-bytes",
              "SIZE",
              "Largest request body",
              Bytes<&C::http, &C::Http::max_body_bytes>(1024, int64_t{1} << 30U)},
    ConfigKey{"http",
              "header_timeout",
              "--header-timeout",
              "SECONDS",
              "Time for a request's headers to arrive",
              Number<&C::http, &C::Http::header_timeout>(0.1, 3600)},
    ConfigKey{"http",
              "body_timeout",
              "--body-timeout",
              "SECONDS",
              "Time for a request's body to arrive",
              Number<&C::http, &C::Http::body_timeout>(0.1, 3600)},
    ConfigKey{"http",
              "idle_timeout",
              "--idle-timeout",
              "SECONDS",
              "Time that a connection may wait for its next request",
              Number<&C::http, &C::Http::idle_timeout>(0.1, kDay)},
    ConfigKey{"http",
              "stall_timeout",
              "--stall-timeout",
              "SECONDS",
              "Time after which a client that takes nothing is cut off",
              Number<&C::http, &C::Http::stall_timeout>(0.1, 3600)},
    ConfigKey{"http",
              "keep_alive_interval",
              "--keep-alive-interval",
              "SECONDS",
              "Time between comments on a stream that has nothing to say",
              Number<&C::http, &C::Http::keep_alive_interval>(0.1, 3600)},
    // grpc
    ConfigKey{"grpc",
              "host",
              "--grpc-host",
              "ADDRESS",
              "Address to listen on for gRPC",
              Text<&C::grpc, &C::Grpc::host>(&CheckNotEmpty)},
    ConfigKey{"grpc",
              "port",
              "--grpc-port",
              "PORT",
              "Port to listen on for gRPC; 0: no gRPC",
              Integer<&C::grpc, &C::Grpc::port>(0, 65535)},
    ConfigKey{"grpc",
              "reflection",
              "--grpc-reflection",
              "BOOL",
              "Tell gRPC clients what services there are",
              Bool<&C::grpc, &C::Grpc::reflection>()},
    // operations
    ConfigKey{"operations",
              "host",
              "--ops-host",
              "ADDRESS",
              "Address to listen on for probes and metrics",
              Text<&C::operations, &C::Operations::host>(&CheckNotEmpty)},
    ConfigKey{"operations",
              "port",
              "--ops-port",
              "PORT",
              "Port to listen on for probes and metrics; 0: any that is free",
              Integer<&C::operations, &C::Operations::port>(0, 65535)},
    ConfigKey{"operations",
              "watchdog_timeout",
              "--watchdog-timeout",
              "SECONDS",
              "Time after which a step that does not end is given up, and the process with it",
              Number<&C::operations, &C::Operations::watchdog_timeout>(0.1, kDay)},
    ConfigKey{"operations",
              "drain_grace",
              "--drain-grace",
              "SECONDS",
              "Time after SIGTERM in which requests are still taken",
              Number<&C::operations, &C::Operations::drain_grace>(0, 3600)},
    ConfigKey{"operations",
              "shutdown_timeout",
              "--shutdown-timeout",
              "SECONDS",
              "Time after that for requests to finish",
              Number<&C::operations, &C::Operations::shutdown_timeout>(0, kDay)},
    ConfigKey{"operations",
              "log_level",
              "--log-level",
              "LEVEL",
              "Least important lines to log",
              kLogLevel},
    ConfigKey{"operations",
              "log_requests",
              "--log-requests",
              "BOOL",
              "Log one line for each request, without its text",
              Bool<&C::operations, &C::Operations::log_requests>()},
    // security
    ConfigKey{"security",
              "api_keys_file",
              "--api-keys-file",
              "FILE",
              "Keys that may use the server, one a line: KEY or TENANT KEY",
              Text<&C::security, &C::Security::api_keys_file>(nullptr)},
    ConfigKey{"security",
              "api_keys_variable",
              "--api-keys-variable",
              "NAME",
              "Environment variable that holds the keys instead",
              Text<&C::security, &C::Security::api_keys_variable>(&CheckVariable)},
    ConfigKey{"security",
              "cache_sharing",
              "--cache-sharing",
              "WHO",
              "Whose prompts may be found in the prefix cache",
              Choice<&C::security, &C::Security::cache_sharing>(kCacheSharing)},
    // scheduling
    ConfigKey{"scheduling",
              "max_requests",
              "--max-requests",
              "N",
              "Most requests taken in, running or waiting; n choices count n times",
              Integer<&C::scheduling, &C::Scheduling::max_requests>(1, 65536)},
    ConfigKey{"scheduling",
              "max_running_sequences",
              "--max-running-sequences",
              "N",
              "Most sequences that share a step",
              Integer<&C::scheduling, &C::Scheduling::max_running_sequences>(1, 4096)},
    ConfigKey{"scheduling",
              "max_step_tokens",
              "--max-step-tokens",
              "N",
              "Most tokens of a step",
              Integer<&C::scheduling, &C::Scheduling::max_step_tokens>(1, 65536)},
    ConfigKey{"scheduling",
              "draft_tokens",
              "--draft-tokens",
              "N",
              "Tokens that the model's MTP module guesses ahead; auto: as many as pay",
              Choice<&C::scheduling, &C::Scheduling::draft_tokens>(kDraftTokens)},
    ConfigKey{"scheduling",
              "max_waiting_tokens",
              "--max-waiting-tokens",
              "N",
              "Most prompt tokens of requests that wait",
              Integer<&C::scheduling, &C::Scheduling::max_waiting_tokens>(1, int64_t{1} << 30U)},
    ConfigKey{"scheduling",
              "max_in_flight_bytes",
              "--max-in-flight-bytes",
              "SIZE",
              "Most memory for request bodies together",
              Bytes<&C::scheduling, &C::Scheduling::max_in_flight_bytes>(1024, int64_t{1} << 40U)},
    ConfigKey{"scheduling",
              "target_step_ms",
              "--target-step-ms",
              "MILLISECONDS",
              "Prompts are cut so that a step beside running sequences takes about this long",
              Number<&C::scheduling, &C::Scheduling::target_step_ms>(0.1, 60'000)},
    ConfigKey{"scheduling",
              "request_timeout",
              "--request-timeout",
              "SECONDS",
              "Time for a request that names none",
              Number<&C::scheduling, &C::Scheduling::request_timeout>(0.1, kDay)},
    ConfigKey{"scheduling",
              "max_n",
              "--max-n",
              "N",
              "Most choices of a request",
              Integer<&C::scheduling, &C::Scheduling::max_n>(1, 128)},
    ConfigKey{"scheduling",
              "max_logprobs",
              "--max-logprobs",
              "N",
              "Most alternatives of a token whose log-probabilities a request may ask for",
              Integer<&C::scheduling, &C::Scheduling::max_logprobs>(0, 1024)},
    ConfigKey{"scheduling",
              "min_priority",
              "--min-priority",
              "N",
              "Most urgent priority that a request may ask for; lower goes first",
              Integer<&C::scheduling, &C::Scheduling::min_priority>(-kMaxInt, kMaxInt)},
};

}  // namespace

std::string PathOf(const ConfigKey& key) {
  return std::string(key.section) + "." + std::string(key.name);
}

std::span<const ConfigKey> ConfigKeys() {
  return kKeys;
}

const ConfigKey* FindConfigKey(std::string_view section, std::string_view name) {
  const auto* const found = std::find_if(kKeys.begin(), kKeys.end(), [&](const ConfigKey& key) {
    return key.section == section && key.name == name;
  });
  return found != kKeys.end() ? found : nullptr;
}

}  // namespace hadal
