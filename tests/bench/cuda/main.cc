// Time of every op of the CUDA back end at the widths of published models, beside what the GPU can
// do at most, measured in the same run: the floor of a row is the larger of its bytes at the read
// bandwidth and its operations at the bf16 peak. Weights are taken by turns from more memory than
// the level-2 cache holds. Prints tables in Markdown, a row at a time.

#include <algorithm>
#include <cstdio>
#include <functional>

#include <absl/strings/str_format.h>

#include "base/check.h"
#include "base/thread_pool.h"
#include "kernels/cuda/device/memory.h"
#include "kernels/cuda/table.h"
#include "kernels/execution_context.h"
#include "tests/bench/cuda/gpu.h"

namespace hadal::bench {
namespace {

constexpr int64_t kCacheBytes = int64_t{60} << 20U;  // of level 2

struct Shape {
  const char* name;
  WeightFormat format;
  int64_t hidden_size;
  int64_t moe_intermediate_size;
  int64_t n_routed_experts;  // that are held: an eighth of V3's
  int64_t num_experts_per_tok;
  int64_t num_heads;
  int64_t q_rows;  // of q_proj or q_b_proj
  int64_t q_cols;
  int64_t vocab_size;
};

constexpr int64_t kLatentRank = 512;
constexpr int64_t kRopeDim = 64;
constexpr int64_t kHeadDim = 128;  // of values, and of queries without the roped part
constexpr Shape kLiteBf16 = {
    "V2-Lite bf16", WeightFormat::kBf16, 2048, 1408, 64, 6, 16, 3072, 2048, 102400};
constexpr Shape kLiteFp8 = {
    "V2-Lite fp8", WeightFormat::kFp8Block, 2048, 1408, 64, 6, 16, 3072, 2048, 102400};
constexpr Shape kV3 = {
    "V3 slice fp8", WeightFormat::kFp8Block, 7168, 2048, 32, 8, 128, 24576, 1536, 129280};

int64_t BytesOf(const WeightMatrix& weight) {
  return SizeBytes(weight);
}

SampleChoice ChoiceOf(float temperature, int32_t top_k, float top_p) {
  return {.seed = 1,
          .position = 1,
          .row = 0,
          .temperature = temperature,
          .top_k = top_k,
          .top_p = top_p,
          .min_p = 0};
}

class Bench {
 public:
  Bench(const KernelTable& table, const GpuLimits& limits) : table_(table), limits_(limits) {}

  void Run(const Shape& shape);

 private:
  void Linear(const Shape& shape, const char* what, int64_t rows, int64_t cols, int64_t num_tokens);
  void Norm(const Shape& shape, int64_t num_tokens);
  void Route(const Shape& shape, int64_t num_tokens);
  void Experts(const Shape& shape, int64_t num_tokens);
  void Sample(const Shape& shape, const char* what, const SampleChoice& choice, int64_t num_rows);
  void Attention(const Shape& shape, int64_t num_sequences, int64_t context, int64_t span);
  void Report(const char* shape,
              const char* what,
              const std::string& size,
              double bytes,
              double operations,
              int num_copies,
              const std::function<void(int copy)>& call);

  const KernelTable& table_;
  const GpuLimits limits_;
  ThreadPool pool_{1};
  ScratchArena scratch_{cuda::GpuDevice()};
  ExecutionContext context_ = {.pool = pool_, .scratch = scratch_};
};

// How many equal sets of weights are more than the cache holds three times over.
int NumCopies(int64_t bytes) {
  return static_cast<int>(std::clamp<int64_t>(3 * kCacheBytes / bytes + 1, 1, 32));
}

void Bench::Report(const char* shape,
                   const char* what,
                   const std::string& size,
                   double bytes,
                   double operations,
                   int num_copies,
                   const std::function<void(int copy)>& call) {
  constexpr int kSamples = 9;
  const int num_calls = std::max(num_copies, 4);
  std::vector<double> times;
  GpuTimer timer;
  for (int sample = -1; sample < kSamples; ++sample) {  // the first warms up
    timer.Start();
    for (int i = 0; i < num_calls; ++i) {
      call(i % num_copies);
    }
    const double time = timer.Stop() / num_calls;
    if (sample >= 0) {
      times.push_back(time);
    }
  }
  std::sort(times.begin(), times.end());
  const double median = times[times.size() / 2];
  const double floor =
      std::max(bytes / limits_.read_bytes_per_second, operations / limits_.bf16_ops_per_second) *
      1e6;
  std::printf("| %s | %s | %s | %.1f [%.1f, %.1f] | %.0f | %.1f | %.1f | %.0f %% |\n",
              shape,
              what,
              size.c_str(),
              median,
              times.front(),
              times.back(),
              bytes / median / 1e3,
              operations / median / 1e6,
              floor,
              floor / median * 100);
  std::fflush(stdout);
}

void Bench::Linear(
    const Shape& shape, const char* what, int64_t rows, int64_t cols, int64_t num_tokens) {
  RandomMemory memory;
  std::vector<WeightMatrix> weights;
  weights.push_back(memory.Matrix(shape.format, rows, cols));
  const int num_copies = NumCopies(BytesOf(weights[0]));
  for (int i = 1; i < num_copies; ++i) {
    weights.push_back(memory.Matrix(shape.format, rows, cols));
  }
  const auto x =
      MakeView(static_cast<const float*>(memory.Floats(num_tokens * cols, 1)), num_tokens, cols);
  const auto y = MakeView(memory.Floats(num_tokens * rows, 1), num_tokens, rows);
  Report(shape.name,
         what,
         absl::StrFormat("%d x %d x %d", num_tokens, rows, cols),
         static_cast<double>(BytesOf(weights[0]) + 4 * num_tokens * (rows + cols)),
         2.0 * static_cast<double>(num_tokens * rows * cols),
         num_copies,
         [&](int copy) {
           table_.linear({.x = x,
                          .weight = weights[static_cast<size_t>(copy)],
                          .output = Output::kStore,
                          .y = y},
                         context_);
         });
}

void Bench::Norm(const Shape& shape, int64_t num_tokens) {
  RandomMemory memory;
  const int64_t width = shape.hidden_size;
  const auto x =
      MakeView(static_cast<const float*>(memory.Floats(num_tokens * width, 1)), num_tokens, width);
  const auto y = MakeView(memory.Floats(num_tokens * width, 1), num_tokens, width);
  const auto weight = MakeView(static_cast<const float*>(memory.Floats(width, 1)), width);
  Report(shape.name,
         "rms_norm",
         absl::StrFormat("%d x %d", num_tokens, width),
         8.0 * static_cast<double>(num_tokens * width),
         0,
         1,
         [&](int /*copy*/) {
           table_.rms_norm({.x = x, .weight = weight, .epsilon = 1e-6F, .y = y}, context_);
         });
}

void Bench::Route(const Shape& shape, int64_t num_tokens) {
  RandomMemory memory;
  const int64_t num_experts = shape.num_heads == 128 ? 256 : shape.n_routed_experts;
  const WeightMatrix gate = memory.Matrix(WeightFormat::kBf16, num_experts, shape.hidden_size);
  const auto x =
      MakeView(static_cast<const float*>(memory.Floats(num_tokens * shape.hidden_size, 1)),
               num_tokens,
               shape.hidden_size);
  const auto bias =
      MakeView(static_cast<const float*>(memory.Floats(num_experts, 0.1F)), num_experts);
  const int64_t top_k = shape.num_experts_per_tok;
  const auto ids =
      MakeView(memory.Copy(std::vector<int32_t>(static_cast<size_t>(num_tokens * top_k))),
               num_tokens,
               top_k);
  const auto weights = MakeView(memory.Floats(num_tokens * top_k, 1), num_tokens, top_k);
  Report(shape.name,
         "moe_route",
         absl::StrFormat("%d x %d", num_tokens, num_experts),
         static_cast<double>(BytesOf(gate) + 4 * num_tokens * shape.hidden_size),
         2.0 * static_cast<double>(num_tokens * num_experts * shape.hidden_size),
         1,
         [&](int /*copy*/) {
           table_.moe_route({.x = x,
                             .gate = gate,
                             .e_score_correction_bias = bias,
                             .scoring_func = ScoringFunc::kSigmoid,
                             .topk_method = TopkMethod::kNoauxTc,
                             .n_group = 8,
                             .topk_group = 4,
                             .norm_topk_prob = true,
                             .routed_scaling_factor = 2.5F,
                             .expert_ids = ids,
                             .weights = weights},
                            context_);
         });
}

// Tokens choose distinct experts, all equally often.
void Bench::Experts(const Shape& shape, int64_t num_tokens) {
  RandomMemory memory;
  const int64_t num_experts = shape.n_routed_experts;
  const int64_t top_k = shape.num_experts_per_tok;
  const std::vector<MlpWeights> experts =
      memory.Experts(shape.format, num_experts, shape.hidden_size, shape.moe_intermediate_size);
  const auto x =
      MakeView(static_cast<const float*>(memory.Floats(num_tokens * shape.hidden_size, 1)),
               num_tokens,
               shape.hidden_size);
  const auto y =
      MakeView(memory.Floats(num_tokens * shape.hidden_size, 1), num_tokens, shape.hidden_size);
  const auto weights =
      MakeView(static_cast<const float*>(memory.Floats(num_tokens * top_k, 1)), num_tokens, top_k);
  // By turns another set of experts, so that one token's do not stay in the cache.
  const int num_copies = 8;
  std::vector<const int32_t*> ids;
  for (int64_t copy = 0; copy < num_copies; ++copy) {
    std::vector<int32_t> chosen;
    for (int64_t i = 0; i < num_tokens * top_k; ++i) {
      // 13 has no factor in common with a number of experts.
      chosen.push_back(static_cast<int32_t>((i * 13 + i / num_experts + copy * 5) % num_experts));
    }
    ids.push_back(memory.Copy(chosen));
  }
  const int64_t num_read = std::min(num_experts, num_tokens * top_k);
  const int64_t expert_bytes =
      BytesOf(experts[0].gate_proj) + BytesOf(experts[0].up_proj) + BytesOf(experts[0].down_proj);
  Report(shape.name,
         "moe_experts",
         absl::StrFormat("%d x %d of %d", num_tokens, top_k, num_experts),
         static_cast<double>(num_read * expert_bytes + 12 * num_tokens * shape.hidden_size),
         6.0 * static_cast<double>(num_tokens * top_k * shape.hidden_size *
                                   shape.moe_intermediate_size),
         num_copies,
         [&](int copy) {
           table_.moe_experts(
               {.x = x,
                .expert_ids = MakeView(ids[static_cast<size_t>(copy)], num_tokens, top_k),
                .weights = weights,
                .experts = MakeView(experts.data(), num_experts),
                .y = y},
               context_);
         });
}

// One choice for each row of logits between -4 and 4, of which a good part matters.
void Bench::Sample(const Shape& shape,
                   const char* what,
                   const SampleChoice& choice,
                   int64_t num_rows) {
  RandomMemory memory;
  const auto logits =
      MakeView(static_cast<const float*>(memory.Floats(num_rows * shape.vocab_size, 4)),
               num_rows,
               shape.vocab_size);
  std::vector<SampleChoice> choices(static_cast<size_t>(num_rows), choice);
  for (int64_t row = 0; row < num_rows; ++row) {
    choices[static_cast<size_t>(row)].row = row;
  }
  const auto token_ids =
      MakeView(memory.Copy(std::vector<TokenId>(static_cast<size_t>(num_rows))), num_rows);
  const auto there = MakeView(static_cast<const SampleChoice*>(memory.Copy(choices)), num_rows);
  Report(shape.name,
         what,
         absl::StrFormat("%d x %d", num_rows, shape.vocab_size),
         4.0 * static_cast<double>(num_rows * shape.vocab_size),
         0,
         1,
         [&](int /*copy*/) {
           table_.sample({.logits = logits, .choices = there, .token_ids = token_ids}, context_);
         });
}

// Each sequence has `context` cached positions, the last `span` of them asked about.
void Bench::Attention(const Shape& shape, int64_t num_sequences, int64_t context, int64_t span) {
  constexpr int64_t kBlockSize = 64;
  constexpr int64_t kRowWidth = kLatentRank + kRopeDim;
  RandomMemory memory;
  const int64_t num_tokens = num_sequences * span;
  const int64_t blocks_each = (context + kBlockSize - 1) / kBlockSize;
  const int64_t num_blocks = num_sequences * blocks_each;
  const LatentCache cache = {.rows = memory.Bf16Rows(num_blocks * kBlockSize * kRowWidth),
                             .dtype = DType::kBf16,
                             .num_blocks = num_blocks,
                             .block_size = kBlockSize,
                             .row_width = kRowWidth,
                             .kv_lora_rank = kLatentRank};
  std::vector<int32_t> tables(static_cast<size_t>(num_blocks));
  for (int64_t i = 0; i < num_blocks; ++i) {  // blocks of a sequence lie apart
    tables[static_cast<size_t>(i)] =
        static_cast<int32_t>(i % blocks_each * num_sequences + i / blocks_each);
  }
  std::vector<int32_t> starts;
  std::vector<int32_t> positions;
  for (int64_t s = 0; s <= num_sequences; ++s) {
    starts.push_back(static_cast<int32_t>(s * span));
  }
  for (int64_t t = 0; t < num_tokens; ++t) {
    positions.push_back(static_cast<int32_t>(context - span + t % span));
  }
  const int64_t head_dim = kHeadDim + kRopeDim;
  const WeightMatrix up = memory.Matrix(shape.format, shape.num_heads * 2 * kHeadDim, kLatentRank);
  const MlaAttentionArgs args = {
      .q = MakeView(
          static_cast<const float*>(memory.Floats(num_tokens * shape.num_heads * head_dim, 1)),
          num_tokens,
          shape.num_heads,
          head_dim),
      .cache = cache,
      .query_starts = MakeView(static_cast<const int32_t*>(memory.Copy(starts)), num_sequences + 1),
      .block_tables =
          MakeView(static_cast<const int32_t*>(memory.Copy(tables)), num_sequences, blocks_each),
      .positions = MakeView(static_cast<const int32_t*>(memory.Copy(positions)), num_tokens),
      .kv_b_proj = {.whole = up, .keys = {}, .values = {}},
      .kv_lora_rank = kLatentRank,
      .v_head_dim = kHeadDim,
      .softmax_scale = 0.07F,
      .form = MlaForm::kAbsorbed,
      .out = MakeView(memory.Floats(num_tokens * shape.num_heads * kHeadDim, 1),
                      num_tokens,
                      shape.num_heads,
                      kHeadDim)};
  double attended = 0;
  for (const int32_t position : positions) {
    attended += position + 1;
  }
  Report(shape.name,
         "mla_attention",
         absl::StrFormat("%d x %d of %d", num_sequences, span, context),
         static_cast<double>(num_sequences * context * kRowWidth * 2 + BytesOf(up)),
         attended * static_cast<double>(shape.num_heads) * 2 * (kRowWidth + kLatentRank),
         1,
         [&](int /*copy*/) { table_.mla_attention(args, context_); });
}

void Bench::Run(const Shape& shape) {
  for (const int64_t num_tokens : {1, 8, 64, 256, 2048}) {
    Linear(shape, "q projection", shape.q_rows, shape.q_cols, num_tokens);
    Linear(shape, "o_proj", shape.hidden_size, shape.num_heads * kHeadDim, num_tokens);
    Norm(shape, num_tokens);
    Route(shape, num_tokens);
    Experts(shape, num_tokens);
  }
  for (const int64_t num_tokens : {1, 64}) {
    Linear(shape, "lm_head", shape.vocab_size, shape.hidden_size, num_tokens);
    Sample(shape, "sample greedy", ChoiceOf(0, 0, 1), num_tokens);
    Sample(shape, "sample", ChoiceOf(1, 0, 1), num_tokens);
    Sample(shape, "sample top_k 40", ChoiceOf(1, 40, 1), num_tokens);
    Sample(shape, "sample top_p 0.95", ChoiceOf(1, 0, 0.95F), num_tokens);
  }
  Attention(shape, 1, 4096, 1);
  Attention(shape, 128, 1024, 1);
  Attention(shape, 128, 4096, 1);
  Attention(shape, 1, 2048, 2048);
}

int Main() {
  auto table = cuda::MakeTable();
  if (!table.ok()) {
    std::fprintf(stderr, "cuda_bench: %s\n", std::string(table.status().message()).c_str());
    return 1;
  }
  const auto print_limits = [](const GpuLimits& limits) {
    std::printf("Read %.0f GB/s, copy %.0f GB/s, bf16 (mma.sync) %.0f TFLOP/s, launch %.2f us\n\n",
                limits.read_bytes_per_second / 1e9,
                limits.copy_bytes_per_second / 1e9,
                limits.bf16_ops_per_second / 1e12,
                limits.launch_microseconds);
  };
  const GpuLimits limits = MeasureGpuLimits();
  print_limits(limits);
  std::printf(
      "| shape | op | size | us [least, greatest] | GB/s | TFLOP/s | floor us | of floor |\n");
  std::printf("|---|---|---|---|---|---|---|---|\n");
  Bench bench(*table, limits);
  for (const Shape& shape : {kLiteBf16, kLiteFp8, kV3}) {
    bench.Run(shape);
  }
  std::printf("\nAfterwards: ");
  print_limits(MeasureGpuLimits());
  return 0;
}

}  // namespace
}  // namespace hadal::bench

int main() {
  return hadal::bench::Main();
}
