#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/dtype.h"
#include "base/log.h"
#include "engine/api/sampling_params.h"
#include "engine/model/memory_plan.h"
#include "engine/packing/weight_packing.h"
#include "server/config/server_config.h"

namespace hadal {

/// How results are printed.
enum class OutputFormat : int8_t { kText, kJson };

/// Flags of every command that runs a model.
struct ModelOptions {
  std::string model{kDemoModel};  // checkpoint folder
  int32_t threads = 0;            // 0: one for each usable core
  std::string kernels = "auto";   // kernel_registry.h
  WeightPacking weights = WeightPacking::kNative;
  DType cache_dtype = DType::kF32;  // exact: one sequence needs little memory
  LogLevel log_level = LogLevel::kWarning;
};

/// Exactly one of the three is set. Ids are a JSON file: an array, or an object with "ids".
struct PromptSource {
  std::optional<std::string> text;
  std::string chat_file;
  std::string ids_file;
};

struct GenerateOptions {
  ModelOptions model;
  PromptSource prompt;
  int64_t max_tokens = 256;
  SamplingParams sampling;
  std::optional<uint64_t> seed;  // nothing: a fresh one
  std::vector<std::string> stop_strings;
  std::vector<TokenId> stop_token_ids;
  bool ignore_eos = false;
  OutputFormat format = OutputFormat::kText;
};

struct InspectOptions {
  std::string model{kDemoModel};
  std::optional<DType> cache_dtype;         // nothing: kv_cache.h DefaultCacheDType
  int64_t context_tokens = 0;               // 0: one sequence of the model's whole context
  std::optional<CacheMemory> cache_memory;  // what this much holds instead
  std::string kernels = "auto";             // kernel_registry.h: whose device is planned for
  OutputFormat format = OutputFormat::kText;
};

struct TokenizeOptions {
  std::string model{kDemoModel};
  std::optional<std::string> text;  // exactly one of text, text_file and chat_file
  std::string text_file;
  std::string chat_file;
  OutputFormat format = OutputFormat::kText;
};

struct DetokenizeOptions {
  std::string model{kDemoModel};
  std::vector<TokenId> ids;
};

struct ScoreOptions {
  ModelOptions model;
  std::string text_file;  // exactly one of text_file and ids_file
  std::string ids_file;
  OutputFormat format = OutputFormat::kText;
};

struct BenchOptions {
  ModelOptions model;
  std::optional<DType> cache_dtype;  // nothing: kv_cache.h DefaultCacheDType; model's is not used
  int64_t num_prompts = 64;
  int64_t prompt_tokens = 128;  // of each request
  int64_t output_tokens = 64;
  std::string lengths_file;    // instead of the three before
  std::string chats_file;      // instead of random prompts; their answers may end by themselves
  int64_t concurrency = 16;    // requests in flight
  std::optional<double> rate;  // instead of concurrency: requests a second
  double shared_prefix = 0;    // share of each prompt that is common to all
  float temperature = 0;
  uint64_t seed = 0;
  std::optional<CacheMemory> cache_memory;  // nothing: room for all that can run
  int64_t max_step_tokens = 512;
  int64_t max_sequences = 0;  // 0: concurrency, or 64 with a rate
  double target_step_ms = 50;
  std::string draft_tokens = "auto";  // or a number
  OutputFormat format = OutputFormat::kText;
};

struct ServeOptions {
  ServerConfig config;         // valid
  std::string effective_yaml;  // the same as a configuration file, with the source of each value
};

struct DoctorOptions {
  ModelOptions model = {.model = ""};  // an empty folder: widths that are built in; else only
                                       // threads and kernels count
  OutputFormat format = OutputFormat::kText;
};

struct QuantizeOptions {
  ModelOptions model;      // its weights are not native
  std::string text_file;   // at most one of text_file and chats_file: what quality is measured on;
  std::string chats_file;  // with neither, the demo model's chats, or nothing for another model
  OutputFormat format = OutputFormat::kText;
};

using Command = std::variant<GenerateOptions,
                             InspectOptions,
                             TokenizeOptions,
                             DetokenizeOptions,
                             ScoreOptions,
                             BenchOptions,
                             DoctorOptions,
                             QuantizeOptions,
                             ServeOptions>;

}  // namespace hadal
