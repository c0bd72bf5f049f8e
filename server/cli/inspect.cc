#include <algorithm>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include <boost/json/object.hpp>

#include "base/mapped_file.h"
#include "engine/checkpoint/model_summary.h"
#include "kernels/kernel_registry.h"
#include "server/cli/commands.h"
#include "server/cli/exit_code.h"
#include "server/cli/json_output.h"
#include "server/cli/model/engine_memory.h"
#include "server/config/server_config.h"

namespace hadal {
namespace {

// What is shown, as text or as JSON.
struct Report {
  ModelConfig config;
  ModelSummary summary;
  bool has_weights = false;
  bool mtp_dropped = false;             // config.json has MTP layers that the files do not hold
  std::map<DType, DTypeTotal> weights;  // as stored, or as published when there are none
  DType cache_dtype = DType::kBf16;
  int64_t cache_bytes_per_token = 0;
  int64_t context_tokens = 0;
  MemoryPlan plan;
};

bool HasWeights(const std::string& dir) {
  const absl::StatusOr<std::vector<std::string>> names = ListFolder(dir);
  return names.ok() && std::any_of(names->begin(), names->end(), [](const std::string& name) {
           return name.ends_with(".safetensors") || name == "model.safetensors.index.json";
         });
}

// What `hadal serve` allows by default, to sequences of so many tokens.
Limits DefaultLimits(int64_t context_tokens) {
  const ServerConfig::Scheduling scheduling;
  Limits limits;
  limits.max_running_sequences = scheduling.max_running_sequences;
  limits.max_step_tokens = scheduling.max_step_tokens;
  limits.max_sequence_tokens = context_tokens;
  return limits;
}

absl::StatusOr<Report> MakeReport(const InspectOptions& options, const Device& device) {
  Report report;
  report.has_weights = HasWeights(options.model);
  if (report.has_weights) {
    ASSIGN_OR_RETURN(const Checkpoint checkpoint, Checkpoint::Open(options.model));
    report.config = checkpoint.config();
    report.weights = StoredTotals(checkpoint);
    report.mtp_dropped = checkpoint.mtp_dropped();
    report.plan.weight_bytes = PlannedWeightBytes(checkpoint, WeightPacking::kNative, device);
  } else {
    ASSIGN_OR_RETURN(report.config, ReadModelConfig(options.model));
  }
  report.summary = SummarizeModel(report.config);
  if (!report.has_weights) {
    report.weights = report.summary.weights;
    report.plan.weight_bytes = SumBytes(report.weights);
  }
  report.cache_dtype = options.cache_dtype.value_or(DefaultCacheDType(report.config));
  report.cache_bytes_per_token = CacheBytesPerToken(report.config, report.cache_dtype);
  report.context_tokens =
      options.context_tokens > 0 ? options.context_tokens : report.config.max_position_embeddings;
  const StepMemory steps = StepMemoryOf(report.config,
                                        device,
                                        /*num_threads=*/0,
                                        DefaultLimits(report.config.max_position_embeddings));
  report.plan.device = device.name;
  report.plan.step_bytes = steps.total_bytes();
  report.plan.num_blocks = NumBlocksFor(report.context_tokens);
  report.plan.cache_bytes = report.cache_bytes_per_token * report.context_tokens;
  ASSIGN_OR_RETURN(report.plan.available_bytes, AvailableBytes(device));
  return report;
}

// Plans for a cache of that much memory instead.
absl::Status PlanCache(const CacheMemory& memory, const Device& device, Report& report) {
  ASSIGN_OR_RETURN(report.plan,
                   PlanMemory({.config = report.config,
                               .mtp = MtpCache::kNone,
                               .cache_dtype = report.cache_dtype,
                               .memory = memory,
                               .device = device,
                               .available_bytes = report.plan.available_bytes,
                               .weight_bytes = report.plan.weight_bytes,
                               .step_bytes = report.plan.step_bytes,
                               .max_running_sequences = 1,
                               .max_sequence_tokens = report.context_tokens}));
  report.context_tokens = report.plan.num_blocks * kBlockSize;
  return absl::OkStatus();
}

boost::json::object ToJson(const Report& report) {
  const ParameterCounts& parameters = report.summary.parameters;
  boost::json::object formats;
  for (const auto& [dtype, total] : report.weights) {
    formats[boost::json::string_view(NameOf(dtype).data(), NameOf(dtype).size())] = {
        {"elements", total.num_elements}, {"bytes", total.num_bytes}};
  }
  const auto text = [](std::string_view view) {
    return boost::json::string(view.data(), view.size());
  };
  return {{"family", text(NameOf(report.summary.family))},
          {"model_type", report.config.model_type},
          {"layers",
           {{"total", report.config.num_hidden_layers},
            {"dense", report.summary.num_dense_layers},
            {"moe", report.summary.num_moe_layers},
            {"mtp", report.summary.num_mtp_layers}}},
          {"parameters",
           {{"total", parameters.total},
            {"active", parameters.active},
            {"active_without_embedding", parameters.active_without_embedding},
            {"active_without_embedding_and_head", parameters.active_without_tables},
            {"mtp", parameters.mtp}}},
          {"weights",
           {{"present", report.has_weights},
            {"bytes", SumBytes(report.weights)},
            {"formats", std::move(formats)}}},
          {"cache",
           {{"dtype", text(NameOf(report.cache_dtype))},
            {"bytes_per_token", report.cache_bytes_per_token}}},
          {"context_length", report.config.max_position_embeddings},
          {"vocab_size", report.config.vocab_size},
          {"memory_plan",
           {{"device", report.plan.device},
            {"context_tokens", report.context_tokens},
            {"cache_blocks", report.plan.num_blocks},
            {"weight_bytes", report.plan.weight_bytes},
            {"step_bytes", report.plan.step_bytes},
            {"cache_bytes", report.plan.cache_bytes},
            {"needed_bytes", report.plan.needed_bytes()},
            {"available_bytes", report.plan.available_bytes},
            {"fits", report.plan.Fits()}}}};
}

// "671.026 B", "1.234 M".
std::string Count(int64_t count) {
  return count >= 10'000'000 ? absl::StrFormat("%.3f B", static_cast<double>(count) / 1e9)
                             : absl::StrFormat("%.3f M", static_cast<double>(count) / 1e6);
}

// "688.575 GB", "1.234 MB".
std::string Bytes(int64_t bytes) {
  return bytes >= 10'000'000 ? absl::StrFormat("%.3f GB", static_cast<double>(bytes) / 1e9)
                             : absl::StrFormat("%.3f MB", static_cast<double>(bytes) / 1e6);
}

void PrintLine(const char* label, const std::string& text) {
  std::printf("%-13s %s\n", label, text.c_str());
}

std::string WeightsLine(const Report& report) {
  std::string line = Bytes(SumBytes(report.weights));
  line += report.has_weights ? ":" : " as published (none in this folder):";
  for (const auto& [dtype, total] : report.weights) {
    line += absl::StrFormat(" %s %s", NameOf(dtype), Bytes(total.num_bytes));
  }
  return line;
}

void PrintReport(const Report& report) {
  const ParameterCounts& parameters = report.summary.parameters;
  const ModelConfig& config = report.config;
  PrintLine(
      "family",
      absl::StrFormat("%s (model_type %s)", NameOf(report.summary.family), config.model_type));
  PrintLine("layers",
            absl::StrFormat("%d: %d dense, %d mixture-of-experts; %d MTP besides",
                            config.num_hidden_layers,
                            report.summary.num_dense_layers,
                            report.summary.num_moe_layers,
                            report.summary.num_mtp_layers));
  if (config.n_routed_experts > 0) {
    PrintLine("experts",
              absl::StrFormat("%d routed, %d of them a token, %d shared",
                              config.n_routed_experts,
                              config.num_experts_per_tok,
                              config.n_shared_experts));
  }
  PrintLine("parameters", Count(parameters.total));
  PrintLine("active",
            absl::StrFormat("%s a token; %s without the embedding, %s without embedding and head",
                            Count(parameters.active),
                            Count(parameters.active_without_embedding),
                            Count(parameters.active_without_tables)));
  if (report.mtp_dropped) {
    PrintLine("MTP", "announced by config.json, but no file holds it: not used");
  }
  if (parameters.mtp > 0) {
    PrintLine("MTP", absl::StrFormat("%s parameters besides", Count(parameters.mtp)));
  }
  PrintLine("weights", WeightsLine(report));
  PrintLine("context",
            absl::StrFormat(
                "%d tokens; vocabulary %d", config.max_position_embeddings, config.vocab_size));
  PrintLine("cache",
            absl::StrFormat(
                "%d bytes a token (%s)", report.cache_bytes_per_token, NameOf(report.cache_dtype)));
  PrintLine("memory plan",
            absl::StrFormat("weights %s + steps %s + cache of %d blocks, %d tokens %s = %s; %s "
                            "available on device %s: %s",
                            Bytes(report.plan.weight_bytes),
                            Bytes(report.plan.step_bytes),
                            report.plan.num_blocks,
                            report.context_tokens,
                            Bytes(report.plan.cache_bytes),
                            Bytes(report.plan.needed_bytes()),
                            Bytes(report.plan.available_bytes),
                            report.plan.device,
                            report.plan.Fits() ? "fits" : "does not fit"));
}

}  // namespace

absl::Status RunCommand(const InspectOptions& options) {
  ASSIGN_OR_RETURN(const KernelTable kernels, BuildKernelTable(options.kernels));
  ASSIGN_OR_RETURN(Report report, CheckpointFault(MakeReport(options, *kernels.device)));
  if (options.cache_memory.has_value()) {
    RETURN_IF_ERROR(PlanCache(*options.cache_memory, *kernels.device, report));
  }
  if (options.format == OutputFormat::kJson) {
    PrintJson(ToJson(report));
  } else {
    PrintReport(report);
  }
  return absl::OkStatus();
}

}  // namespace hadal
