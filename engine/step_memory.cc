#include "engine/step_memory.h"

#include <algorithm>

#include "engine/api/forward_batch.h"
#include "engine/model/device_step.h"
#include "engine/sample/batch_sampler.h"
#include "kernels/cpu/attention/attention.h"
#include "kernels/cuda/attention/plan.h"
#include "kernels/cuda/product/plan.h"
#include "kernels/sample.h"
#include "kernels/sample/strips.h"
#include "kernels/sample/token_chooser.h"

namespace hadal {
namespace {

constexpr int64_t kWordBytes = 4;  // of a float, and of an id

int64_t RoundUp(int64_t a, int64_t multiple) {
  return (a + multiple - 1) / multiple * multiple;
}

int64_t Words(int64_t num_rows, int64_t width) {
  return num_rows * width * kWordBytes;
}

// What a step of so many tokens has in its arena, op by op. Each function gives the bytes that are
// there at a time, at most, on the CPU and on a GPU, for weights of any format.
class LargestStep {
 public:
  LargestStep(const StepMemoryArgs& args, int64_t num_tokens)
      : args_(args), config_(args.config), num_tokens_(num_tokens) {}

  // Model::Begin.
  [[nodiscard]] int64_t MainModel() const { return InputsAndResults() + std::max(Layer(), Tail()); }

  // Model::BeginMtp: its layer runs beside the rows that enter the module.
  [[nodiscard]] int64_t Mtp() const {
    const int64_t hidden = config_.hidden_size;
    const int64_t joined = Words(num_tokens_, 2 * hidden);
    return InputsAndResults() +
           std::max(joined + std::max(Linear(num_tokens_, hidden, 2 * hidden), Layer()), Tail());
  }

 private:
  // Blocks in a row of a block table; what is drafted may begin another one.
  [[nodiscard]] int64_t TableWidth() const {
    return TableWidthOnDevice(args_.max_sequence_tokens / kBlockSize + 2);
  }

  // device_step.h and step_tail.h.
  [[nodiscard]] int64_t InputsAndResults() const {
    const int64_t words_of_token = config_.qk_rope_head_dim  // angles
                                   + 5                       // id, position, slot, row of MTP
                                   + 1;                      // whether it is finite
    const int64_t expert_ids = config_.num_hidden_layers * config_.num_experts_per_tok;
    return Words(num_tokens_, words_of_token + expert_ids) +
           Words(args_.max_sequences + 1, 1 + TableWidth()) + Words(BatchSampler::kSliceRows, 1) +
           args_.max_samples * (int64_t{sizeof(SampleChoice)} + kWordBytes);
  }

  // gather_rows, linear, sample.
  [[nodiscard]] int64_t Tail() const {
    const int64_t num_rows = std::min(BatchSampler::kSliceRows, args_.max_samples);
    const int64_t sample_bytes =
        args_.device.is_host
            ? args_.num_threads * TokenChooser::ScratchBytes(config_.vocab_size)
            : Words(num_rows,
                    static_cast<int64_t>(NumStrips(static_cast<size_t>(config_.vocab_size))));
    return std::max(Linear(num_rows, config_.vocab_size, config_.hidden_size), sample_bytes);
  }

  // decoder_layer.h.
  [[nodiscard]] int64_t Layer() const {
    const int64_t hidden = config_.hidden_size;
    return Words(num_tokens_, hidden) +
           std::max({MlaLayer(), HasDenseLayer() ? Mlp(config_.intermediate_size) : 0, MoeLayer()});
  }

  [[nodiscard]] bool HasDenseLayer() const {
    int64_t layer = 0;
    while (layer < config_.num_hidden_layers && config_.IsMoeLayer(layer)) {
      ++layer;
    }
    return layer < config_.num_hidden_layers;
  }

  [[nodiscard]] int64_t MlaLayer() const {
    const int64_t q_width = config_.num_attention_heads * config_.qk_head_dim();
    const int64_t v_width = config_.num_attention_heads * config_.v_head_dim;
    const int64_t o_proj = Linear(num_tokens_, config_.hidden_size, v_width);
    return Words(num_tokens_, q_width + v_width) +
           std::max({MlaProject(q_width), MlaAttention(), o_proj});
  }

  [[nodiscard]] int64_t MlaProject(int64_t q_width) const {
    const int64_t hidden = config_.hidden_size;
    const int64_t latent = config_.q_lora_rank;
    const int64_t row_width = config_.latent_row_width();
    return Words(num_tokens_, latent + row_width) + Linear(num_tokens_, latent, hidden) +
           Linear(num_tokens_, q_width, latent == 0 ? hidden : latent) +
           Linear(num_tokens_, row_width, hidden);
  }

  [[nodiscard]] int64_t MlaAttention() const {
    const int64_t num_heads = config_.num_attention_heads;
    if (args_.device.is_host) {
      return cpu::AbsorbedScratchBytes({.num_tokens = num_tokens_,
                                        .num_heads = num_heads,
                                        .row_width = config_.latent_row_width(),
                                        .kv_lora_rank = config_.kv_lora_rank,
                                        .nope_dim = config_.qk_nope_head_dim,
                                        .num_threads = args_.num_threads});
    }
    const int64_t num_parts = cuda::NumParts(TableWidth() * kBlockSize);
    const int64_t token_bytes = cuda::ScratchBytesOfToken(
        num_heads, num_parts, config_.kv_lora_rank, config_.qk_nope_head_dim);
    return std::min(num_tokens_, cuda::TokensAtOnce(token_bytes)) * token_bytes;
  }

  // Rows as products take them: split, or rounded.
  [[nodiscard]] static int64_t InputRows(int64_t num_rows, int64_t cols) {
    constexpr int64_t kRows = 8;
    constexpr int64_t kCols = 128;
    return Words(RoundUp(num_rows, kRows), RoundUp(cols, kCols));
  }

  // Products of few rows are summed in parts: kernels/cuda/product/plan.h.
  [[nodiscard]] static int64_t Parts(int64_t num_rows, int64_t rows, int64_t cols) {
    if (num_rows > cuda::kMostTileTokens || rows == 0) {
      return 0;
    }
    const int64_t num_tiles = (rows + cuda::kTileRows - 1) / cuda::kTileRows;
    const int64_t most_parts = (cuda::kWantedBlocks + num_tiles - 1) / num_tiles;
    const int64_t num_steps = (cols * 2 + cuda::kStepBytes - 1) / cuda::kStepBytes;
    return Words(num_rows * std::min(most_parts, num_steps), rows);
  }

  // `rows` and `cols` of the weight.
  [[nodiscard]] static int64_t Linear(int64_t num_rows, int64_t rows, int64_t cols) {
    return InputRows(num_rows, cols) + Parts(num_rows, rows, cols);
  }

  // Its hidden rows are made as the next product takes them, or by two products on their own.
  [[nodiscard]] int64_t Mlp(int64_t intermediate) const {
    const int64_t hidden = config_.hidden_size;
    const int64_t up = Linear(num_tokens_, intermediate, hidden);
    const int64_t down = Linear(num_tokens_, hidden, intermediate);
    return std::max(InputRows(num_tokens_, hidden) + Words(num_tokens_, intermediate) + down,
                    2 * Words(num_tokens_, intermediate) + std::max(up, down));
  }

  [[nodiscard]] int64_t MoeLayer() const {
    if (config_.n_routed_experts == 0) {
      return 0;
    }
    const int64_t num_experts = config_.n_routed_experts;
    const int64_t workspaces =
        Words(args_.num_threads, 4 * (num_experts + config_.n_group) + 64);  // of the host's
    const int64_t route = Words(num_tokens_, num_experts) +
                          Linear(num_tokens_, num_experts, config_.hidden_size) + workspaces;
    // Ids, where no log keeps them, and weights.
    return Words(2, num_tokens_ * config_.num_experts_per_tok) + std::max(route, MoeExperts());
  }

  // Shared experts are pairs as the others are, or a network behind them.
  [[nodiscard]] int64_t MoeExperts() const {
    const int64_t chosen = config_.num_experts_per_tok;
    const int64_t num_shared = config_.n_shared_experts;
    const int64_t behind =
        ExpertPairs(num_tokens_ * chosen) + Mlp(num_shared * config_.moe_intermediate_size);
    return args_.device.is_host
               ? behind
               : std::max(behind, ExpertPairs(num_tokens_ * (chosen + num_shared)));
  }

  [[nodiscard]] int64_t ExpertPairs(int64_t num_pairs) const {
    const int64_t hidden = config_.hidden_size;
    const int64_t intermediate = config_.moe_intermediate_size;
    const int64_t num_experts = config_.n_routed_experts + config_.n_shared_experts;
    const int64_t lists = Words(4, num_pairs) + Words(3, num_experts + 1);
    // On a GPU, rows of the result for each pair, or of hidden states before they are rounded.
    const int64_t rows =
        args_.device.is_host
            ? InputRows(num_pairs, hidden) + Words(num_pairs, intermediate)
            : InputRows(num_tokens_, hidden) + Words(num_pairs, std::max(hidden, intermediate));
    return lists + rows + InputRows(num_pairs, intermediate);
  }

  const StepMemoryArgs& args_;
  const ModelConfig& config_;
  const int64_t num_tokens_;
};

}  // namespace

StepMemory MemoryOfSteps(const StepMemoryArgs& args) {
  const ModelConfig& config = args.config;
  // The most tokens need most, or the most of those few whose products are summed in parts.
  int64_t scratch_bytes = 0;
  for (const int64_t most : {args.max_step_tokens, cuda::kMostTileTokens}) {
    const LargestStep step(args, std::min(most, args.max_step_tokens));
    scratch_bytes = std::max({scratch_bytes, step.MainModel(), args.can_draft ? step.Mtp() : 0});
  }
  // Allocations that are there at a time, each with a gap behind it.
  const int64_t gap_bytes = 64 * (64 + 16 * int64_t{args.num_threads});
  const int64_t copies = args.device.is_host ? args.num_threads : 0;
  return {
      .buffer_bytes = Words((args.can_draft ? 2 : 1) * args.max_step_tokens, config.hidden_size) +
                      Words(BatchSampler::kSliceRows, config.hidden_size + config.vocab_size) +
                      Words(copies, config.vocab_size),
      .scratch_bytes = scratch_bytes + gap_bytes};
}

}  // namespace hadal
