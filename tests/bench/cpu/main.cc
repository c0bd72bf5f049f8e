// Time of the ops that take most of a step, for two shapes of models and each weight format, beside
// the limits of the machine, measured before and after each shape: machines drift. Prints tables in
// Markdown. With --limits, the limits alone.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <numeric>
#include <string_view>

#include "base/cpu/allotment.h"
#include "tests/bench/cpu/limits.h"
#include "tests/bench/cpu/synthetic_weights.h"
#include "tests/support/kernel_runner.h"

namespace hadal::bench {
namespace {

// As tools/checkpoint_shapes.py has them.
struct Shape {
  const char* name;
  int64_t vocab_size;
  int64_t hidden_size;
  int64_t moe_intermediate_size;
  int64_t n_routed_experts;
  int64_t num_experts_per_tok;
  int64_t num_heads;
};
constexpr Shape kS = {"S", 32768, 1280, 512, 64, 6, 16};
constexpr Shape kL = {"V2-Lite", 102400, 2048, 1408, 64, 6, 16};

struct Format {
  const char* name;
  WeightFormat format;
};
constexpr std::array kFormats = {Format{"bf16", WeightFormat::kBf16},
                                 Format{"int8", WeightFormat::kInt8},
                                 Format{"int4", WeightFormat::kInt4}};
constexpr std::array<int64_t, 5> kNumTokens = {1, 4, 16, 32, 512};

// Median, least and greatest of some calls.
struct Times {
  double median;
  double least;
  double greatest;
};

Times TimeCalls(const std::function<void()>& call) {
  constexpr double kSeconds = 0.3;
  constexpr size_t kLeastCalls = 5;
  std::vector<double> times;
  double total = 0;
  call();
  while (times.size() < kLeastCalls || total < kSeconds) {
    const auto start = std::chrono::steady_clock::now();
    call();
    times.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    total += times.back();
  }
  std::sort(times.begin(), times.end());
  return {times[times.size() / 2], times.front(), times.back()};
}

void PrintLimits(const Limits& limits, int32_t num_threads) {
  std::printf("%d threads: read %.1f GB/s, float %.3f TFLOP/s, int8 (%s) %.3f TOP/s\n",
              num_threads,
              limits.read_bytes_per_second / 1e9,
              limits.float_ops_per_second / 1e12,
              limits.int8_instructions.c_str(),
              limits.int8_ops_per_second / 1e12);
}

void PrintRow(const char* op,
              const char* format,
              int64_t num_tokens,
              const Times& times,
              double bytes,
              double operations,
              const Limits& limits,
              bool is_int8) {
  const double ops_limit = is_int8 ? limits.int8_ops_per_second : limits.float_ops_per_second;
  std::printf("| %s | %s | %ld | %.3f [%.3f %.3f] | %.1f | %.0f %% | %.3f | %.0f %% |\n",
              op,
              format,
              static_cast<long>(num_tokens),
              times.median * 1e3,
              times.least * 1e3,
              times.greatest * 1e3,
              bytes / times.median / 1e9,
              100 * bytes / times.median / limits.read_bytes_per_second,
              operations / times.median / 1e12,
              100 * operations / times.median / ops_limit);
}

class ShapeBench {
 public:
  ShapeBench(const Shape& shape, test::KernelRunner& runner, const Limits& limits)
      : shape_(shape), runner_(runner), limits_(limits), table_(test::TableOf("auto")) {}

  void Run() {
    std::printf("\n| op, %s | weights | tokens | ms | GB/s | of read | TOP/s | of peak |\n",
                shape_.name);
    std::printf("|---|---|---|---|---|---|---|---|\n");
    for (const Format& format : kFormats) {
      RunHead(format);
      RunExperts(format);
    }
  }

 private:
  std::vector<float> Normals(int64_t count) {
    std::vector<float> values(static_cast<size_t>(count));
    std::generate(values.begin(), values.end(), [this] { return random_.Normal(); });
    return values;
  }

  void RunHead(const Format& format) {
    SyntheticWeights weights;
    const WeightMatrix head = weights.Matrix(format.format, shape_.vocab_size, shape_.hidden_size);
    for (const int64_t num_tokens : kNumTokens) {
      const std::vector<float> x = Normals(num_tokens * shape_.hidden_size);
      std::vector<float> y(static_cast<size_t>(num_tokens * shape_.vocab_size));
      const LinearArgs args = {.x = MakeView(x.data(), num_tokens, shape_.hidden_size),
                               .weight = head,
                               .output = Output::kStore,
                               .y = MakeView(y.data(), num_tokens, shape_.vocab_size)};
      const Times times = TimeCalls([&] { table_.linear(args, runner_.context); });
      PrintRow("lm_head",
               format.name,
               num_tokens,
               times,
               static_cast<double>(SizeBytes(head)),
               2.0 * static_cast<double>(num_tokens * shape_.vocab_size * shape_.hidden_size),
               limits_,
               format.format != WeightFormat::kBf16);
    }
  }

  // Each call chooses other experts, as the layers of a model do.
  void RunExperts(const Format& format) {
    SyntheticWeights weights;
    std::vector<MlpWeights> experts;
    for (int64_t i = 0; i < shape_.n_routed_experts; ++i) {
      experts.push_back(
          weights.Mlp(format.format, shape_.hidden_size, shape_.moe_intermediate_size));
    }
    const int64_t expert_bytes = SizeBytes(experts[0].gate_proj) + SizeBytes(experts[0].up_proj) +
                                 SizeBytes(experts[0].down_proj);
    for (const int64_t num_tokens : kNumTokens) {
      const std::vector<float> x = Normals(num_tokens * shape_.hidden_size);
      std::vector<float> y(x.size());
      std::vector<int32_t> ids(static_cast<size_t>(num_tokens * shape_.num_experts_per_tok));
      const std::vector<float> factors(ids.size(), 0.1F);
      const MoeExpertsArgs args = {
          .x = MakeView(x.data(), num_tokens, shape_.hidden_size),
          .expert_ids = MakeView(
              static_cast<const int32_t*>(ids.data()), num_tokens, shape_.num_experts_per_tok),
          .weights = MakeView(factors.data(), num_tokens, shape_.num_experts_per_tok),
          .experts = MakeView(static_cast<const MlpWeights*>(experts.data()), experts.size()),
          .y = MakeView(y.data(), num_tokens, shape_.hidden_size)};
      double num_active = 0;
      double num_calls = 0;
      const Times times = TimeCalls([&] {
        num_active += static_cast<double>(ChooseExperts(ids));
        num_calls += 1;
        table_.moe_experts(args, runner_.context);
      });
      PrintRow("moe_experts",
               format.name,
               num_tokens,
               times,
               static_cast<double>(expert_bytes) * num_active / num_calls,
               6.0 * static_cast<double>(std::ssize(ids) * shape_.hidden_size *
                                         shape_.moe_intermediate_size),
               limits_,
               format.format != WeightFormat::kBf16);
    }
  }

  // Random experts for each token; the number of different ones.
  int64_t ChooseExperts(std::vector<int32_t>& ids) {
    std::vector<bool> active(static_cast<size_t>(shape_.n_routed_experts));
    for (size_t t = 0; t < ids.size(); t += static_cast<size_t>(shape_.num_experts_per_tok)) {
      const std::vector<int32_t> order = random_.Permutation(shape_.n_routed_experts);
      for (size_t k = 0; k < static_cast<size_t>(shape_.num_experts_per_tok); ++k) {
        ids[t + k] = order[k];
        active[static_cast<size_t>(order[k])] = true;
      }
    }
    return std::count(active.begin(), active.end(), true);
  }

  const Shape& shape_;
  test::KernelRunner& runner_;
  const Limits& limits_;
  const KernelTable table_;
  self_test::Random random_{1};
};

void Run(bool limits_only) {
  const int32_t num_threads = DefaultNumThreads(ReadCpuAllotment());
  if (limits_only) {
    return PrintLimits(MeasureLimits(num_threads), num_threads);
  }
  test::KernelRunner runner(num_threads);
  for (const Shape& shape : {kS, kL}) {
    const Limits limits = MeasureLimits(num_threads);
    PrintLimits(limits, num_threads);
    ShapeBench(shape, runner, limits).Run();
    std::printf("\n");
  }
  PrintLimits(MeasureLimits(num_threads), num_threads);
}

}  // namespace
}  // namespace hadal::bench

int main(int argc, char** argv) {
  hadal::bench::Run(argc > 1 && std::string_view(argv[1]) == "--limits");
  return 0;
}
