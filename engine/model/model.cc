#include "engine/model/model.h"

#include "base/check.h"
#include "engine/model/decoder_layer.h"
#include "engine/model/device_step.h"
#include "engine/model/step_recordings.h"

namespace hadal {

namespace {

// CHECKs what forward_batch.h says of a batch, and that it stays inside vocabulary and cache: a
// scheduler's mistake must not become another sequence's memory.
void CheckBatch(const ForwardBatch& batch, const ModelConfig& config, const KvCache& cache) {
  CHECK_EQ(std::ssize(batch.positions), batch.num_tokens());
  CHECK_EQ(std::ssize(batch.slots), batch.num_tokens());
  CHECK_EQ(std::ssize(batch.block_tables), batch.num_sequences() * batch.max_blocks);
  CHECK_EQ(batch.query_starts.front(), 0);
  CHECK_EQ(batch.query_starts.back(), batch.num_tokens());
  for (int64_t s = 0; s < batch.num_sequences(); ++s) {
    const int32_t* blocks = batch.block_tables.data() + s * batch.max_blocks;
    const int64_t begin = batch.query_starts[static_cast<size_t>(s)];
    const int64_t end = batch.query_starts[static_cast<size_t>(s + 1)];
    CHECK_LE(begin, end);
    for (int64_t t = begin; t < end; ++t) {
      const auto i = static_cast<size_t>(t);
      const int64_t position = batch.positions[i];
      CHECK(batch.token_ids[i] >= 0 && batch.token_ids[i] < config.vocab_size);
      CHECK(position >= 0 && position / kBlockSize < batch.max_blocks);
      CHECK(t == begin || position == int64_t{batch.positions[i - 1]} + 1);
      CHECK_EQ(batch.slots[i], blocks[position / kBlockSize] * kBlockSize + position % kBlockSize);
    }
    const int64_t last = begin < end ? batch.positions[static_cast<size_t>(end - 1)] : -1;
    for (int64_t i = 0; i * kBlockSize <= last; ++i) {
      CHECK(blocks[i] >= 0 && blocks[i] < cache.num_blocks());
    }
  }
}

// Frees what a step takes of both arenas.
class StepScope {
 public:
  explicit StepScope(ExecutionContext& context)
      : device_(context.scratch), host_(HostScratch(context)) {}

 private:
  const ScratchScope device_;
  const ScratchScope host_;  // the same arena's, where the device is the host
};

constexpr int64_t kMainModel = -1;

// What enters a step's ops, and where their results go.
struct StepEnds {
  int64_t mtp_layer;      // or kMainModel
  const Step& step;       // on the device
  const float* previous;  // hidden states, null in the main model
  const TensorView<float, 2>& hidden;
};

void LaunchOrReplay(const StepEnds& ends, KvCache& cache, absl::FunctionRef<void()> launch_ops) {
  const Step& step = ends.step;
  ExecutionContext& context = step.context;
  if (context.recordings == nullptr) {
    launch_ops();
    return;
  }
  constexpr int64_t kNothing = 0;  // to be told a place
  context.recordings->Run(
      {.kernels = &step.kernels,
       .mtp_layer = ends.mtp_layer,
       .num_tokens = step.num_tokens(),
       .num_sequences = step.block_tables.extent(0),
       .max_blocks = step.block_tables.extent(1),
       .cache = cache.layer(0).rows,
       .num_cache_blocks = cache.num_blocks(),
       .cache_dtype = cache.dtype(),
       .inputs = step.angles.cos.data,
       .previous = ends.previous,
       .hidden = ends.hidden.data,
       .expert_log = step.expert_log != nullptr ? step.expert_log->data() : nullptr,
       .scratch = context.scratch.Allocate<std::byte>(kNothing).data},
      context.scratch,
      launch_ops);
}

}  // namespace

Model::Model(const Args& args)
    : args_(args), rope_(args.config), softmax_scale_(SoftmaxScale(args.config)) {}

Model Model::WithKernels(const KernelTable& kernels) const {
  return Model({.config = args_.config,
                .weights = args_.weights,
                .kernels = kernels,
                .mla_form = args_.mla_form});
}

Step Model::MakeStep(const ForwardBatch& batch,
                     const KvCache& cache,
                     ExecutionContext& context) const {
  CheckBatch(batch, args_.config, cache);
  const int64_t num_tokens = batch.num_tokens();
  return OnDevice(
      Step{.config = args_.config,
           .kernels = args_.kernels,
           .context = context,
           .softmax_scale = softmax_scale_,
           .mla_form = args_.mla_form,
           .expert_load = nullptr,
           .expert_log = nullptr,
           .angles = rope_.Angles(batch.positions, HostScratch(context)),
           .token_ids = MakeView(batch.token_ids.data(), num_tokens),
           .positions = MakeView(batch.positions.data(), num_tokens),
           .slots = MakeView(batch.slots.data(), num_tokens),
           .query_starts = MakeView(batch.query_starts.data(), std::ssize(batch.query_starts)),
           .block_tables =
               MakeView(batch.block_tables.data(), batch.num_sequences(), batch.max_blocks)});
}

void Model::Forward(const ForwardBatch& batch,
                    KvCache& cache,
                    ExecutionContext& context,
                    const TensorView<float, 2>& hidden) const {
  const StepScope scope(context);
  RunLayers(MakeStep(batch, cache, context), cache, hidden);
}

void Model::Forward(const ForwardBatch& batch,
                    KvCache& cache,
                    ExecutionContext& context,
                    const TensorView<float, 2>& hidden,
                    ExpertLoad& load) const {
  const StepScope scope(context);
  Step step = MakeStep(batch, cache, context);
  load.Clear();
  if (args_.kernels.device->is_host) {
    step.expert_load = &load;
    RunLayers(step, cache, hidden);
    return;
  }
  ExpertLog log(step, load);
  step.expert_log = &log;
  RunLayers(step, cache, hidden);
  log.Count();
}

void Model::RunLayers(const Step& step, KvCache& cache, const TensorView<float, 2>& hidden) const {
  LaunchOrReplay({.mtp_layer = kMainModel, .step = step, .previous = nullptr, .hidden = hidden},
                 cache,
                 [&] { LaunchLayers(step, cache, hidden); });
}

void Model::LaunchLayers(const Step& step,
                         KvCache& cache,
                         const TensorView<float, 2>& hidden) const {
  ExecutionContext& context = step.context;
  const Weights& weights = args_.weights;
  const KernelTable& kernels = args_.kernels;
  kernels.embedding({.token_ids = step.token_ids, .table = weights.embed_tokens, .y = hidden},
                    context);
  for (size_t i = 0; i < weights.layers.size(); ++i) {
    DecoderLayer(weights.layers[i], cache.layer(static_cast<int64_t>(i)), step, hidden);
  }
  kernels.rms_norm(
      {.x = hidden, .weight = weights.norm, .epsilon = args_.config.rms_norm_eps, .y = hidden},
      context);
}

void Model::ForwardMtp(int64_t mtp_layer,
                       const ForwardBatch& batch,
                       const TensorView<const float, 2>& previous,
                       KvCache& cache,
                       ExecutionContext& context,
                       const TensorView<float, 2>& hidden) const {
  CHECK(mtp_layer >= 0 && mtp_layer < std::ssize(args_.weights.mtp));
  const StepScope scope(context);
  const Step step = MakeStep(batch, cache, context);
  LaunchOrReplay(
      {.mtp_layer = mtp_layer, .step = step, .previous = previous.data, .hidden = hidden},
      cache,
      [&] { LaunchMtp(mtp_layer, step, previous, cache, hidden); });
}

void Model::LaunchMtp(int64_t mtp_layer,
                      const Step& step,
                      const TensorView<const float, 2>& previous,
                      KvCache& cache,
                      const TensorView<float, 2>& hidden) const {
  ExecutionContext& context = step.context;
  const ScratchScope scope(context.scratch);
  const MtpWeights& mtp = args_.weights.mtp[static_cast<size_t>(mtp_layer)];
  const KernelTable& kernels = args_.kernels;
  const float eps = args_.config.rms_norm_eps;
  const int64_t hidden_size = args_.config.hidden_size;

  // 1. The input: eh_proj · [enorm(embedding), hnorm(previous hidden state)].
  const auto joined = context.scratch.Allocate<float>(step.num_tokens(), 2 * hidden_size);
  TensorView<float, 2> embedding = joined;
  embedding.extents[1] = hidden_size;
  TensorView<float, 2> state = embedding;
  state.data += hidden_size;
  kernels.embedding(
      {.token_ids = step.token_ids, .table = args_.weights.embed_tokens, .y = embedding}, context);
  kernels.rms_norm({.x = embedding, .weight = mtp.enorm, .epsilon = eps, .y = embedding}, context);
  kernels.rms_norm({.x = previous, .weight = mtp.hnorm, .epsilon = eps, .y = state}, context);
  kernels.linear({.x = joined, .weight = mtp.eh_proj, .output = Output::kStore, .y = hidden},
                 context);

  // 2. One decoder layer with cache rows of its own, and the norm of the shared head.
  DecoderLayer(mtp.layer, cache.layer(args_.config.num_hidden_layers + mtp_layer), step, hidden);
  kernels.rms_norm({.x = hidden, .weight = mtp.shared_head_norm, .epsilon = eps, .y = hidden},
                   context);
}

void Model::ComputeLogits(const TensorView<const float, 2>& hidden,
                          ExecutionContext& context,
                          const TensorView<float, 2>& logits) const {
  const StepScope scope(context);
  args_.kernels.linear(
      {.x = hidden, .weight = args_.weights.lm_head, .output = Output::kStore, .y = logits},
      context);
}

void Model::FetchLogits(const TensorView<const float, 2>& hidden,
                        ExecutionContext& context,
                        const TensorView<float, 2>& logits) const {
  const StepScope scope(context);
  const Device& device = *args_.kernels.device;
  const auto room = RoomOnDevice(logits, device, context);
  ComputeLogits(hidden, context, room);
  FetchRows(room, logits, device);
}

}  // namespace hadal
