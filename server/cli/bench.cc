#include <algorithm>
#include <cstdio>
#include <optional>
#include <utility>

#include <boost/json/object.hpp>

#include "base/log.h"
#include "engine/api/sampling_params.h"
#include "engine/local_executor.h"
#include "engine/model/kv_cache.h"
#include "kernels/kernel_registry.h"
#include "server/bench/driver.h"
#include "server/cli/commands.h"
#include "server/cli/exit_code.h"
#include "server/cli/json_output.h"
#include "server/cli/model/draft_tokens.h"
#include "server/cli/model/engine_memory.h"
#include "server/cli/model/loaded_model.h"
#include "server/cli/model/text_model.h"

namespace hadal {
namespace {

constexpr int64_t kOpenLoadSequences = 64;  // that run at a time, unless told otherwise
constexpr int64_t kMostWaitingTokens = int64_t{1} << 30U;  // what Limits allow

absl::Status ReadChats(const BenchOptions& options, Workload::Args& args) {
  ASSIGN_OR_RETURN(const TextModel text, TextModel::Open(options.model.model));
  ASSIGN_OR_RETURN(args.prompts, text.EncodeChatsFile(options.chats_file));
  args.stop_token_ids = text.EosTokenIds();
  for (const std::vector<TokenId>& prompt : args.prompts) {
    args.lengths.push_back(
        {.prompt_tokens = std::ssize(prompt), .output_tokens = options.output_tokens});
  }
  return absl::OkStatus();
}

absl::StatusOr<Workload::Args> MakeWorkload(const BenchOptions& options,
                                            const ModelConfig& config) {
  Workload::Args args{.lengths = {},
                      .vocab_size = config.vocab_size,
                      .shared_prefix = options.shared_prefix,
                      .temperature = options.temperature,
                      .rate = options.rate,
                      .seed = options.seed};
  if (!options.chats_file.empty()) {
    RETURN_IF_ERROR(ReadChats(options, args));
  } else if (!options.lengths_file.empty()) {
    ASSIGN_OR_RETURN(args.lengths, ReadRequestLengths(options.lengths_file));
  } else {
    args.lengths.assign(
        static_cast<size_t>(options.num_prompts),
        {.prompt_tokens = options.prompt_tokens, .output_tokens = options.output_tokens});
  }
  RETURN_IF_ERROR(CheckRequestLengths(args.lengths, config.max_position_embeddings));
  return args;
}

// One short request, which makes the engine's memory grow to what steps need.
Workload::Args MakeWarmUp(Workload::Args args, int64_t max_step_tokens) {
  args.prompts.clear();
  RequestLength& length = args.lengths.front();
  length.prompt_tokens = std::min(length.prompt_tokens, max_step_tokens);
  length.output_tokens = std::min<int64_t>(length.output_tokens, 2);
  args.lengths.resize(1);
  args.rate.reset();
  return args;
}

// All but the number of blocks.
absl::StatusOr<Limits> MakeLimits(const BenchOptions& options,
                                  const ModelConfig& config,
                                  const Workload& workload) {
  if (options.max_sequences > options.max_step_tokens) {
    return InvalidArgument(
        "--max-sequences %d: each takes at least one token of a step, and --max-step-tokens is %d",
        options.max_sequences,
        options.max_step_tokens);
  }
  const int64_t wanted = options.rate.has_value() ? kOpenLoadSequences : options.concurrency;
  Limits limits{.vocab_size = config.vocab_size,
                .max_running_sequences = options.max_sequences > 0
                                             ? options.max_sequences
                                             : std::min(wanted, options.max_step_tokens),
                .max_step_tokens = options.max_step_tokens,
                .max_requests = workload.num_requests(),
                .max_waiting_tokens = std::min(workload.total_prompt_tokens(), kMostWaitingTokens),
                .max_sequence_tokens = config.max_position_embeddings,
                .max_sequences_per_request = 1,
                .watermark = 0,  // the default cache has room for all that can run
                .target_step_time = FromMilliseconds(options.target_step_ms)};
  RETURN_IF_ERROR(SetDraftTokens(options.draft_tokens, config, limits));
  RETURN_IF_ERROR(ValidateLimits(limits));
  return limits;
}

// By default there is room for all sequences that can run: no more than the workload has, and none
// longer than its longest.
absl::StatusOr<EngineMemory> PlanBench(const BenchOptions& options,
                                       const Checkpoint& checkpoint,
                                       const Device& device,
                                       DType cache_dtype,
                                       Limits limits,
                                       const Workload& workload) {
  limits.max_running_sequences = std::min(limits.max_running_sequences, workload.num_requests());
  limits.max_sequence_tokens = workload.max_request_tokens();
  return PlanEngineMemory(
      {.config = checkpoint.config(),
       .device = device,
       .weight_bytes = PlannedWeightBytes(checkpoint, options.model.weights, device),
       .num_threads = options.model.threads,
       .cache_dtype = cache_dtype,
       .cache_memory = options.cache_memory,
       .limits = limits});
}

boost::json::value TextOrNull(const std::string& text) {
  return text.empty() ? boost::json::value(nullptr) : boost::json::value(text);
}

boost::json::object Echo(const BenchOptions& options,
                         const Limits& limits,
                         LoadedModel& loaded,
                         const KvCache& cache,
                         DType cache_dtype) {
  boost::json::object echo = {{"model", options.model.model},
                              {"prompts", limits.max_requests},
                              {"prompt_tokens", nullptr},
                              {"output_tokens", nullptr},
                              {"lengths", TextOrNull(options.lengths_file)},
                              {"chats", TextOrNull(options.chats_file)},
                              {"concurrency", nullptr},
                              {"rate", nullptr},
                              {"shared_prefix", options.shared_prefix},
                              {"temperature", options.temperature},
                              {"seed", options.seed},
                              {"weights", NameOf(options.model.weights)},
                              {"cache_dtype", NameOf(cache_dtype)},
                              {"num_blocks", limits.num_blocks},
                              {"cache_bytes", cache.size_bytes()},
                              {"max_step_tokens", limits.max_step_tokens},
                              {"max_sequences", limits.max_running_sequences},
                              {"target_step_ms", options.target_step_ms},
                              {"draft_tokens", options.draft_tokens},
                              {"threads", loaded.pool().num_threads()},
                              {"kernels", options.model.kernels}};
  if (options.lengths_file.empty()) {
    echo["output_tokens"] = options.output_tokens;
    if (options.chats_file.empty()) {
      echo["prompt_tokens"] = options.prompt_tokens;
    }
  }
  if (options.rate.has_value()) {
    echo["rate"] = *options.rate;
  } else {
    echo["concurrency"] = options.concurrency;
  }
  return echo;
}

}  // namespace

absl::Status RunCommand(const BenchOptions& options) {
  // 1. What does not need the weights comes first, so that mistakes show at once.
  SetLogLevel(options.model.log_level);
  ASSIGN_OR_RETURN(Checkpoint checkpoint, CheckpointFault(Checkpoint::Open(options.model.model)));
  const ModelConfig config = checkpoint.config();
  ASSIGN_OR_RETURN(const KernelTable kernels, BuildKernelTable(options.model.kernels));
  ASSIGN_OR_RETURN(const Workload::Args workload_args, MakeWorkload(options, config));
  const Workload workload(workload_args);
  ASSIGN_OR_RETURN(Limits limits, MakeLimits(options, config, workload));
  const DType cache_dtype = options.cache_dtype.value_or(DefaultCacheDType(config));

  ASSIGN_OR_RETURN(const EngineMemory memory,
                   PlanBench(options, checkpoint, *kernels.device, cache_dtype, limits, workload));
  Log(LogLevel::kInfo, "memory plan: " + Describe(memory.plan));
  limits.num_blocks = memory.plan.num_blocks;

  // 2. The model, its cache, what runs steps.
  ASSIGN_OR_RETURN(const std::unique_ptr<LoadedModel> loaded,
                   LoadedModel::Load(options.model, std::move(checkpoint), kernels));
  ASSIGN_OR_RETURN(KvCache cache,
                   KvCache::Create({.config = loaded->config(),
                                    .mtp = MtpCacheFor(limits),
                                    .dtype = cache_dtype,
                                    .num_blocks = limits.num_blocks,
                                    .device = loaded->device()}));
  boost::json::object echo = Echo(options, limits, *loaded, cache, cache_dtype);
  ASSIGN_OR_RETURN(const std::unique_ptr<LocalExecutor> executor,
                   LocalExecutor::Create({.model = loaded->model(),
                                          .cache = std::move(cache),
                                          .pool = loaded->pool(),
                                          .device = HostOf(loaded->device()),
                                          .max_step_tokens = limits.max_step_tokens,
                                          .max_samples = MaxSamples(limits),
                                          .scratch_bytes = memory.steps.scratch_bytes,
                                          .can_draft = limits.max_draft_tokens > 0}));

  // 3. A short request that is not measured, then the load.
  const SteadyClock clock;
  const Workload warm_up(MakeWarmUp(workload_args, limits.max_step_tokens));
  RETURN_IF_ERROR(Drive({.limits = limits,
                         .executor = *executor,
                         .clock = clock,
                         .workload = warm_up,
                         .concurrency = 1})
                      .status());
  const auto concurrency =
      options.rate.has_value() ? std::nullopt : std::optional(options.concurrency);
  ASSIGN_OR_RETURN(BenchReport report,
                   Drive({.limits = limits,
                          .executor = *executor,
                          .clock = clock,
                          .workload = workload,
                          .concurrency = concurrency}));
  report.configuration = std::move(echo);
  if (options.format == OutputFormat::kJson) {
    PrintJson(ToJson(report));
  } else {
    std::printf("%s", Describe(report).c_str());
  }
  if (report.num_failed > 0) {
    return Internal("%d of %d requests failed", report.num_failed, workload.num_requests());
  }
  return absl::OkStatus();
}

}  // namespace hadal
