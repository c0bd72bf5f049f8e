#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/status.h"

namespace hadal {

/// The model that is linked into the program (mapped_file.h): what runs when none is named.
inline constexpr std::string_view kDemoModel = "builtin:demo";

/// All that `hadal serve` can be told. The keys of the YAML file are these names, in sections as
/// they stand here (`http.port`); the flags are the keys with '-' for '_' and without the section
/// (--port), unless config_keys.cc says otherwise. Times are in seconds, sizes in bytes with units
/// allowed ("8MiB").
struct ServerConfig {
  struct Model {
    std::string path{kDemoModel};       // --model: checkpoint folder
    std::vector<std::string> names;     // --served-model-name: what clients call it; the first is
                                        // said in answers; by default the folder's name
    int32_t threads = 0;                // 0: one for each usable core
    std::string kernels = "auto";       // back end, and single ops replaced
    std::string weights = "native";     // native, int8, int4
    std::string cache_dtype = "auto";   // auto, bf16, f32, int8, fp8
    std::string cache_memory = "auto";  // "auto", "4GiB", "50%"
    int64_t max_context_tokens = 0;     // 0: the model's own
  } model;

  struct Http {
    std::string host = "127.0.0.1";
    int32_t port = 8000;
    int32_t threads = 0;  // I/O threads; 0: chosen by the number of CPUs
    std::string tls_certificate;
    std::string tls_key;
    std::vector<std::string> allowed_origins;  // for browsers; "*": all
    std::vector<std::string> allowed_hosts;    // besides IP literals and localhost, while loopback
    int64_t max_connections = 4096;
    int64_t max_connections_per_address = 256;  // 0: no limit
    int64_t max_body_bytes = 8 << 20;
    double header_timeout = 10;
    double body_timeout = 30;
    double idle_timeout = 75;
    double stall_timeout = 30;
    double keep_alive_interval = 10;  // between comments on streams that wait
  } http;

  struct Grpc {
    std::string host = "127.0.0.1";
    int32_t port = 0;  // 0: no gRPC
    bool reflection = true;
  } grpc;

  struct Operations {
    std::string host = "127.0.0.1";
    int32_t port = 8001;
    double watchdog_timeout = 10;
    double drain_grace = 5;        // after SIGTERM, new requests are still taken for so long
    double shutdown_timeout = 60;  // then those that run are ended
    LogLevel log_level = LogLevel::kInfo;
    bool log_requests = true;  // one line for each
  } operations;

  struct Security {
    std::string api_keys_file;
    std::string api_keys_variable;         // name of an environment variable that holds the keys
    std::string cache_sharing = "tenant";  // tenant, all
  } security;

  struct Scheduling {
    int64_t max_requests = 128;  // taken in, running or waiting; n counts n times
    int64_t max_running_sequences = 64;
    int64_t max_step_tokens = 512;
    std::string draft_tokens = "auto";  // auto, or a number up to kMaxDraftTokens
    int64_t max_waiting_tokens = 1'000'000;
    int64_t max_in_flight_bytes = 256 << 20;  // of bodies
    double target_step_ms = 50;
    double request_timeout = 600;
    int32_t max_n = 8;
    int32_t max_logprobs = 20;
    int32_t min_priority = 0;
  } scheduling;
};

/// InvalidArgument, naming key and value, for values out of range or at odds with each other.
absl::Status ValidateServerConfig(const ServerConfig& config);

/// What is allowed and yet deserves a word in the log, one sentence each: listening beyond this
/// machine without keys or without TLS, and the like. REQUIRES: `config` is valid.
std::vector<std::string> ConfigWarnings(const ServerConfig& config);

/// Whether only this machine can connect to `host`: "localhost", 127.0.0.0/8 or ::1.
bool IsLoopback(const std::string& host);

}  // namespace hadal
