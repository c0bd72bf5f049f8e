#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <absl/strings/str_join.h>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "base/clock.h"
#include "engine/checkpoint/model_summary.h"
#include "engine/model/kv_cache.h"
#include "kernels/execution_context.h"
#include "kernels/kernel_registry.h"
#include "kernels/reference/table.h"
#include "kernels/self_test/self_test.h"
#include "server/cli/commands.h"
#include "server/cli/exit_code.h"
#include "server/cli/json_output.h"

namespace hadal {
namespace {

using self_test::ModelShape;
using self_test::OpResult;
using self_test::WeightSpec;

constexpr int64_t kFp8Block = 128;  // as published

// What kernels can make use of, by the names of /proc/cpuinfo.
constexpr std::array kCpuFeatures = {"avx2",
                                     "fma",
                                     "f16c",
                                     "avx512f",
                                     "avx512bw",
                                     "avx512dq",
                                     "avx512vl",
                                     "avx512_vnni",
                                     "avx512_bf16",
                                     "amx_tile",
                                     "amx_bf16",
                                     "amx_int8"};

struct Machine {
  std::string cpu;  // the model's name; empty where the system tells none
  std::vector<std::string> features;
  int32_t num_threads = 0;
  int64_t available_bytes = 0;
};

// A model's widths, and the formats to test them in.
struct Subject {
  std::string name;
  ModelShape shape;
  std::vector<WeightSpec> weights;
  DType cache_dtype;
};

// What follows "key :" on the first line that begins with the key.
std::string ReadCpuInfo(const std::string& key) {
  std::ifstream file("/proc/cpuinfo");
  std::string line;
  while (std::getline(file, line)) {
    const size_t colon = line.find(": ");
    if (line.starts_with(key) && colon != std::string::npos) {
      return line.substr(colon + 2);
    }
  }
  return {};
}

absl::StatusOr<Machine> Examine(int32_t num_threads) {
  Machine machine = {.cpu = ReadCpuInfo("model name"), .features = {}, .num_threads = num_threads};
  std::istringstream flags(ReadCpuInfo("flags"));
  std::string flag;
  while (flags >> flag) {
    if (std::find(kCpuFeatures.begin(), kCpuFeatures.end(), flag) != kCpuFeatures.end()) {
      machine.features.push_back(flag);
    }
  }
  ASSIGN_OR_RETURN(machine.available_bytes, ReadAvailableMemory("/proc/meminfo"));
  return machine;
}

ModelShape ShapeOf(const ModelConfig& config) {
  return {.vocab_size = config.vocab_size,
          .hidden_size = config.hidden_size,
          .intermediate_size = config.intermediate_size,
          .moe_intermediate_size = config.moe_intermediate_size,
          .num_attention_heads = config.num_attention_heads,
          .q_lora_rank = config.q_lora_rank,
          .kv_lora_rank = config.kv_lora_rank,
          .qk_nope_head_dim = config.qk_nope_head_dim,
          .qk_rope_head_dim = config.qk_rope_head_dim,
          .v_head_dim = config.v_head_dim,
          .n_routed_experts = config.n_routed_experts,
          .n_shared_experts = config.n_shared_experts,
          .num_experts_per_tok = config.num_experts_per_tok,
          .n_group = config.n_group,
          .topk_group = config.topk_group,
          .norm_topk_prob = config.norm_topk_prob,
          .scoring_func = config.scoring_func,
          .topk_method = config.topk_method};
}

WeightSpec Fp8Spec(int64_t block_rows, int64_t block_cols) {
  return {.format = WeightFormat::kFp8Block, .block_rows = block_rows, .block_cols = block_cols};
}

// The format of weights that are not quantised.
WeightFormat FormatOf(DType dtype) {
  return dtype == DType::kF32   ? WeightFormat::kF32
         : dtype == DType::kF16 ? WeightFormat::kF16
                                : WeightFormat::kBf16;
}

// The formats of packed weights; none when they are not packed.
std::vector<WeightSpec> PackedSpecs(WeightPacking packing) {
  switch (packing) {
    case WeightPacking::kNative:
      return {};
    case WeightPacking::kInt8:
      return {{.format = WeightFormat::kInt8}};
    case WeightPacking::kInt4:
      return {{.format = WeightFormat::kInt4}, {.format = WeightFormat::kInt8}};  // layers, head
  }
  CHECK(false);
}

absl::StatusOr<std::vector<Subject>> ChooseSubjects(const ModelOptions& options) {
  const std::string& model = options.model;
  const std::vector<WeightSpec> packed = PackedSpecs(options.weights);
  if (model.empty()) {
    const std::vector<WeightSpec> native = {{.format = WeightFormat::kBf16},
                                            Fp8Spec(kFp8Block, kFp8Block)};
    const std::vector<WeightSpec>& weights = packed.empty() ? native : packed;
    return std::vector<Subject>{
        {"odd widths", self_test::OddShape(), weights, DType::kBf16},
        {"widths of DeepSeek-V2-Lite", self_test::LiteShape(), weights, DType::kBf16}};
  }
  ASSIGN_OR_RETURN(const ModelConfig config, CheckpointFault(ReadModelConfig(model)));
  Subject subject = {model, ShapeOf(config), packed, DefaultCacheDType(config)};
  if (!packed.empty()) {
    return std::vector<Subject>{subject};
  }
  subject.weights.push_back({.format = FormatOf(config.dtype)});
  if (config.quantization.has_value()) {
    subject.weights.push_back(
        Fp8Spec(config.quantization->block_rows, config.quantization->block_cols));
  }
  return std::vector<Subject>{subject};
}

double Microseconds(Duration duration) {
  return std::chrono::duration<double, std::micro>(duration).count();
}

void PrintMachine(const Machine& machine) {
  std::printf("cpu       %s\n", machine.cpu.empty() ? "unknown" : machine.cpu.c_str());
  std::printf("features  %s\n", absl::StrJoin(machine.features, " ").c_str());
  std::printf("kernels   %s\n", absl::StrJoin(AvailableBackEnds(), ", ").c_str());
  std::printf("threads   %d\n", machine.num_threads);
  std::printf("memory    %.3f GB available\n", static_cast<double>(machine.available_bytes) / 1e9);
}

void PrintHeading(const Subject& subject) {
  std::printf("\n%s\n%-13s  %-12s  %-60s  %9s  %12s  %12s\n",
              subject.name.c_str(),
              "op",
              "kernels",
              "shape",
              "error/tol",
              "time us",
              "reference us");
}

void PrintResult(const OpResult& result) {
  std::printf("%-13s  %-12s  %-60s  %9.3g  %12.1f  %12.1f  %s\n",
              result.op.c_str(),
              result.implementation.c_str(),
              result.shape.c_str(),
              result.worst_error_share,
              Microseconds(result.time),
              Microseconds(result.reference_time),
              result.passed()        ? "ok"
              : result.stayed_inside ? "FAIL"
                                     : "FAIL: wrote outside of its output");
  std::fflush(stdout);
}

boost::json::object ToJson(const std::string& subject, const OpResult& result) {
  return {{"widths", subject},
          {"op", result.op},
          {"implementation", result.implementation},
          {"shape", result.shape},
          {"error_share", JsonNumber(result.worst_error_share)},
          {"stayed_inside", result.stayed_inside},
          {"time_us", Microseconds(result.time)},
          {"reference_time_us", Microseconds(result.reference_time)},
          {"passed", result.passed()}};
}

boost::json::array ToJson(const std::vector<std::string>& texts) {
  boost::json::array array;
  array.insert(array.end(), texts.begin(), texts.end());
  return array;
}

struct Findings {
  boost::json::array checks;
  int64_t num_failed = 0;
};

// With text, results are printed as they come.
Findings TestKernels(const KernelTable& table,
                     const std::vector<Subject>& subjects,
                     ExecutionContext& context,
                     OutputFormat format) {
  const KernelTable reference = reference::MakeTable();
  const SteadyClock clock;
  Findings findings;
  for (const Subject& subject : subjects) {
    if (format == OutputFormat::kText) {
      PrintHeading(subject);
    }
    const auto report = [&](const OpResult& result) {
      findings.num_failed += result.passed() ? 0 : 1;
      findings.checks.push_back(ToJson(subject.name, result));
      if (format == OutputFormat::kText) {
        PrintResult(result);
      }
    };
    for (const WeightSpec& weights : subject.weights) {
      self_test::RunSelfTest({.table = table,
                              .reference = reference,
                              .shape = subject.shape,
                              .weights = weights,
                              .cache_dtype = subject.cache_dtype,
                              .context = context,
                              .clock = clock},
                             report);
    }
  }
  return findings;
}

}  // namespace

absl::Status RunCommand(const DoctorOptions& options) {
  ASSIGN_OR_RETURN(const KernelTable table, BuildHostKernelTable(options.model.kernels));
  ASSIGN_OR_RETURN(const std::vector<Subject> subjects, ChooseSubjects(options.model));
  ThreadPool pool = ThreadPool::OfThisMachine(options.model.threads);
  ScratchArena scratch(CpuDevice());
  ExecutionContext context = {.pool = pool, .scratch = scratch};
  ASSIGN_OR_RETURN(const Machine machine, Examine(pool.num_threads()));
  const bool is_text = options.format == OutputFormat::kText;
  if (is_text) {
    PrintMachine(machine);
  }
  Findings findings = TestKernels(table, subjects, context, options.format);
  const int64_t num_checks = std::ssize(findings.checks);
  if (is_text) {
    std::printf(
        "\n%s\n",
        absl::StrFormat("%d of %d checks passed", num_checks - findings.num_failed, num_checks)
            .c_str());
  } else {
    PrintJson(boost::json::object{{"cpu", machine.cpu},
                                  {"features", ToJson(machine.features)},
                                  {"available_kernels", ToJson(AvailableBackEnds())},
                                  {"threads", machine.num_threads},
                                  {"available_bytes", machine.available_bytes},
                                  {"checks", std::move(findings.checks)},
                                  {"passed", findings.num_failed == 0}});
  }
  if (findings.num_failed > 0) {
    return Internal(
        "%d of %d checks failed: run with other kernels in place of those that did, such as "
        "--kernels auto,OP=reference",
        findings.num_failed,
        num_checks);
  }
  return absl::OkStatus();
}

}  // namespace hadal
