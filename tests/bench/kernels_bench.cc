// Time of the ops that dominate a step, at DeepSeek-V2-Lite's widths, on the machine's best back
// end. bytes_per_second counts weight or cache bytes read once; items_per_second counts
// multiply-adds.

#include <algorithm>

#include <benchmark/benchmark.h>

#include "base/cpu/allotment.h"
#include "kernels/self_test/mla_attention.h"
#include "tests/support/kernel_runner.h"

namespace hadal::test {
namespace {

constexpr int64_t kHiddenSize = 2048;
constexpr int64_t kMoeIntermediateSize = 1408;

self_test::WeightSpec SpecOf(int64_t format) {
  return {.format = static_cast<WeightFormat>(format), .block_rows = 128, .block_cols = 128};
}

std::vector<float> Normals(self_test::Random& random, int64_t count) {
  std::vector<float> values(static_cast<size_t>(count));
  std::generate(values.begin(), values.end(), [&random] { return random.Normal(); });
  return values;
}

// Arguments: number of tokens, weight format.
void BM_Linear(benchmark::State& state) {
  KernelRunner runner(DefaultNumThreads(ReadCpuAllotment()));
  const KernelTable table = TableOf("auto");
  self_test::Random random(1);
  const int64_t num_tokens = state.range(0);
  constexpr int64_t kRows = 16 * 1024;
  const self_test::WeightBuffer weight =
      self_test::WeightBuffer::MakeRandom(SpecOf(state.range(1)), kRows, kHiddenSize, random);
  std::vector<float> x = Normals(random, num_tokens * kHiddenSize);
  std::vector<float> y(static_cast<size_t>(num_tokens * kRows));
  const LinearArgs args = {.x = MakeView(x.data(), num_tokens, kHiddenSize),
                           .weight = weight.matrix(),
                           .output = Output::kStore,
                           .y = MakeView(y.data(), num_tokens, kRows)};
  for (auto _ : state) {
    table.linear(args, runner.context);
  }
  state.SetBytesProcessed(state.iterations() * SizeBytes(weight.matrix()));
  state.SetItemsProcessed(state.iterations() * num_tokens * kRows * kHiddenSize);
}
BENCHMARK(BM_Linear)
    ->ArgsProduct({{1, 8, 128},
                   {static_cast<int64_t>(WeightFormat::kBf16),
                    static_cast<int64_t>(WeightFormat::kFp8Block),
                    static_cast<int64_t>(WeightFormat::kInt8),
                    static_cast<int64_t>(WeightFormat::kInt4)}})
    ->ArgNames({"tokens", "format"})
    ->UseRealTime();

// Argument: number of tokens. 64 experts, 6 for each token.
void BM_MoeExperts(benchmark::State& state) {
  constexpr int64_t kExperts = 64;
  constexpr int64_t kTopK = 6;
  KernelRunner runner(DefaultNumThreads(ReadCpuAllotment()));
  const KernelTable table = TableOf("auto");
  self_test::Random random(2);
  const int64_t num_tokens = state.range(0);
  std::vector<self_test::WeightBuffer> buffers;
  std::vector<MlpWeights> experts;
  const self_test::WeightSpec bf16_spec = {.format = WeightFormat::kBf16};
  for (int64_t i = 0; i < 3 * kExperts; ++i) {
    const bool is_down = i % 3 == 2;
    buffers.push_back(
        self_test::WeightBuffer::MakeRandom(bf16_spec,
                                            is_down ? kHiddenSize : kMoeIntermediateSize,
                                            is_down ? kMoeIntermediateSize : kHiddenSize,
                                            random));
  }
  for (size_t i = 0; i < buffers.size(); i += 3) {
    experts.push_back({.gate_proj = buffers[i].matrix(),
                       .up_proj = buffers[i + 1].matrix(),
                       .down_proj = buffers[i + 2].matrix()});
  }
  std::vector<int32_t> expert_ids;
  for (int64_t t = 0; t < num_tokens; ++t) {
    const std::vector<int32_t> chosen = random.Permutation(kExperts);
    expert_ids.insert(expert_ids.end(), chosen.begin(), chosen.begin() + kTopK);
  }
  std::vector<float> weights(expert_ids.size(), 1.0F / kTopK);
  std::vector<float> x = Normals(random, num_tokens * kHiddenSize);
  std::vector<float> y(x.size());
  const TensorView<const MlpWeights, 1> experts_view =
      MakeView(static_cast<const MlpWeights*>(experts.data()), kExperts);
  const MoeExpertsArgs args = {.x = MakeView(x.data(), num_tokens, kHiddenSize),
                               .expert_ids = MakeView(expert_ids.data(), num_tokens, kTopK),
                               .weights = MakeView(weights.data(), num_tokens, kTopK),
                               .experts = experts_view,
                               .y = MakeView(y.data(), num_tokens, kHiddenSize)};
  for (auto _ : state) {
    table.moe_experts(args, runner.context);
  }
  state.SetItemsProcessed(state.iterations() * num_tokens * kTopK * 3 * kHiddenSize *
                          kMoeIntermediateSize);
}
BENCHMARK(BM_MoeExperts)->Arg(1)->Arg(32)->ArgName("tokens")->UseRealTime();

// Arguments: sequences, query tokens of each, cached tokens before them, form of attention,
// threads.
void BM_MlaAttention(benchmark::State& state) {
  constexpr int64_t kHeads = 16;
  constexpr int64_t kRank = 512;
  constexpr int64_t kRope = 64;
  constexpr int64_t kNope = 128;
  const int64_t num_sequences = state.range(0);
  const int64_t num_queries = state.range(1);
  self_test::MlaAttentionShape shape = {.num_heads = kHeads,
                                        .nope_dim = kNope,
                                        .rope_dim = kRope,
                                        .kv_lora_rank = kRank,
                                        .v_head_dim = kNope,
                                        .block_size = 64,
                                        .sequences = {}};
  shape.sequences.assign(static_cast<size_t>(num_sequences),
                         {.context_len = state.range(2) + num_queries, .num_queries = num_queries});
  self_test::MlaAttentionProblem problem({.format = WeightFormat::kBf16}, shape, DType::kBf16);
  KernelRunner runner(static_cast<int32_t>(state.range(4)));
  const KernelTable table = TableOf("auto");
  const MlaAttentionArgs args = problem.Args(static_cast<MlaForm>(state.range(3)));
  for (auto _ : state) {
    table.mla_attention(args, runner.context);
  }
  state.SetBytesProcessed(state.iterations() * num_sequences * shape.sequences[0].context_len *
                          (kRank + kRope) * 2);
}
constexpr int64_t kMaterialised = static_cast<int64_t>(MlaForm::kMaterialised);
constexpr int64_t kAbsorbed = static_cast<int64_t>(MlaForm::kAbsorbed);
BENCHMARK(BM_MlaAttention)
    ->ArgsProduct({{1}, {1}, {128, 4096}, {kAbsorbed}, {1, 2}})
    ->ArgsProduct({{32}, {1}, {512}, {kAbsorbed}, {1, 2}})
    ->ArgsProduct({{1}, {512}, {0, 1536}, {kAbsorbed, kMaterialised}, {1, 2}})
    ->ArgNames({"sequences", "tokens", "cached", "form", "threads"})
    ->UseRealTime();

}  // namespace
}  // namespace hadal::test
