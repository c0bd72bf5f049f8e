#include "engine/model/model.h"

#include <numeric>

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

int64_t NumMoeLayers(const ModelConfig& config) {
  int64_t count = 0;
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    count += config.IsMoeLayer(layer) ? 1 : 0;
  }
  return count;
}

// A step on the device, and where its results go.
struct StepPlaces {
  int64_t mtp_layer;  // or kMainModel
  const Step& step;
  KvCache& cache;
  const float* previous;  // hidden states, null in the main model
  const float* hidden;
  const int32_t* results;
};

void LaunchOrReplay(const StepPlaces& places, absl::FunctionRef<void()> launch_ops) {
  const Step& step = places.step;
  ExecutionContext& context = step.context;
  if (context.recordings == nullptr) {
    launch_ops();
    return;
  }
  constexpr int64_t kNothing = 0;  // to be told a place
  context.recordings->Run({.kernels = &step.kernels,
                           .mtp_layer = places.mtp_layer,
                           .num_tokens = step.num_tokens(),
                           .num_sequences = step.block_tables.extent(0),
                           .max_blocks = step.block_tables.extent(1),
                           .cache = places.cache.layer(0).rows,
                           .num_cache_blocks = places.cache.num_blocks(),
                           .cache_dtype = places.cache.dtype(),
                           .num_rows = step.tail.rows.extent(0),
                           .num_choices = step.tail.choices.extent(0),
                           .inputs = step.angles.cos.data,
                           .previous = places.previous,
                           .hidden = places.hidden,
                           .logits = step.tail.logits.data,
                           .results = places.results,
                           .scratch = context.scratch.Allocate<std::byte>(kNothing).data},
                          context.scratch,
                          launch_ops);
}

}  // namespace

Model::Model(const Args& args)
    : args_(args),
      rope_(args.config),
      softmax_scale_(SoftmaxScale(args.config)),
      num_moe_layers_(NumMoeLayers(args.config)) {}

Model Model::WithKernels(const KernelTable& kernels) const {
  return Model({.config = args_.config,
                .weights = args_.weights,
                .kernels = kernels,
                .mla_form = args_.mla_form});
}

Step Model::MakeStep(const Work& work, const MtpInput& input) const {
  const ForwardBatch& batch = work.batch;
  CheckBatch(batch, args_.config, work.cache);
  const int64_t num_tokens = batch.num_tokens();
  return OnDevice(Step{
      .config = args_.config,
      .kernels = args_.kernels,
      .context = work.context,
      .softmax_scale = softmax_scale_,
      .mla_form = args_.mla_form,
      .expert_log = nullptr,
      .angles = rope_.Angles(batch.positions, HostScratch(work.context)),
      .token_ids = MakeView(batch.token_ids.data(), num_tokens),
      .positions = MakeView(batch.positions.data(), num_tokens),
      .slots = MakeView(batch.slots.data(), num_tokens),
      .query_starts = MakeView(batch.query_starts.data(), std::ssize(batch.query_starts)),
      .block_tables = MakeView(batch.block_tables.data(), batch.num_sequences(), batch.max_blocks),
      .previous = input.rows,
      .tail = work.tail});
}

// The host's part of results outlasts the scope, whose arena may be the same one's.
StepResults Model::Launch(int64_t mtp_layer, const Work& work, const MtpInput& input) const {
  const Device& device = *args_.kernels.device;
  ExecutionContext& context = work.context;
  const int64_t num_tokens = work.batch.num_tokens();
  const bool is_main = mtp_layer == kMainModel;
  const auto allocate = [&](ScratchArena& arena) {
    return StepResults::Allocate(
        arena,
        {is_main ? num_moe_layers_ : 0, num_tokens, args_.config.num_experts_per_tok},
        num_tokens,
        work.tail.choices.extent(0));
  };
  const StepResults results = allocate(HostScratch(context));
  const ScratchScope scope(context.scratch);
  Step step = MakeStep(work, input);
  const StepResults there = device.is_host ? results : allocate(context.scratch);
  ExpertLog log(there.expert_ids);
  step.expert_log = is_main ? &log : nullptr;
  const auto launch_ops = [&] {
    if (is_main) {
      LaunchLayers(step, work.cache, work.hidden);
    } else {
      LaunchMtp(mtp_layer, step, input.states, work.cache, work.hidden);
    }
    args_.kernels.check_finite({.x = work.hidden, .is_finite = there.is_finite}, context);
    LaunchTail(
        args_.kernels, step.tail, args_.weights.lm_head, work.hidden, there.token_ids, context);
  };
  LaunchOrReplay({.mtp_layer = mtp_layer,
                  .step = step,
                  .cache = work.cache,
                  .previous = input.states.data,
                  .hidden = work.hidden.data,
                  .results = there.all.data},
                 launch_ops);
  BeginFetch(device, there, results);
  return results;
}

StepResults Model::Begin(const Work& work) const {
  return Launch(kMainModel, work, {});
}

StepResults Model::BeginMtp(int64_t mtp_layer, const Work& work, const MtpInput& input) const {
  CHECK(mtp_layer >= 0 && mtp_layer < std::ssize(args_.weights.mtp));
  CHECK_EQ(input.rows.extent(0), work.batch.num_tokens());
  return Launch(mtp_layer, work, input);
}

TensorView<const TokenId, 1> Model::Choose(const TensorView<const float, 2>& hidden,
                                           const StepTail& tail,
                                           ExecutionContext& context) const {
  const Device& device = *args_.kernels.device;
  const auto allocate = [&](ScratchArena& arena) {
    return StepResults::Allocate(arena, {0, 0, 0}, 0, tail.choices.extent(0));
  };
  const StepResults results = allocate(HostScratch(context));
  const ScratchScope scope(context.scratch);
  const StepTail moved = OnDevice(tail, device, context);
  const StepResults there = device.is_host ? results : allocate(context.scratch);
  LaunchTail(args_.kernels, moved, args_.weights.lm_head, hidden, there.token_ids, context);
  BeginFetch(device, there, results);
  device.finish_copies();
  return results.token_ids;
}

void Model::Forward(const ForwardBatch& batch,
                    KvCache& cache,
                    ExecutionContext& context,
                    const TensorView<float, 2>& hidden) const {
  const ScratchScope scope(HostScratch(context));
  static_cast<void>(Begin({.batch = batch, .cache = cache, .context = context, .hidden = hidden}));
  args_.kernels.device->finish_copies();
}

void Model::ForwardMtp(int64_t mtp_layer,
                       const ForwardBatch& batch,
                       const TensorView<const float, 2>& previous,
                       KvCache& cache,
                       ExecutionContext& context,
                       const TensorView<float, 2>& hidden) const {
  const ScratchScope scope(HostScratch(context));
  const auto rows = HostScratch(context).Allocate<int32_t>(batch.num_tokens());
  std::iota(rows.data, rows.data + rows.extent(0), 0);
  static_cast<void>(BeginMtp(mtp_layer,
                             {.batch = batch, .cache = cache, .context = context, .hidden = hidden},
                             {.states = previous, .rows = rows}));
  args_.kernels.device->finish_copies();
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
  kernels.gather_rows({.x = previous, .rows = step.previous, .y = state}, context);
  kernels.rms_norm({.x = state, .weight = mtp.hnorm, .epsilon = eps, .y = state}, context);
  kernels.linear({.x = joined, .weight = mtp.eh_proj, .output = Output::kStore, .y = hidden},
                 context);

  // 2. One decoder layer with cache rows of its own, and the norm of the shared head.
  DecoderLayer(mtp.layer, cache.layer(args_.config.num_hidden_layers + mtp_layer), step, hidden);
  kernels.rms_norm({.x = hidden, .weight = mtp.shared_head_norm, .epsilon = eps, .y = hidden},
                   context);
}

void Model::FetchLogits(const TensorView<const float, 2>& hidden,
                        ExecutionContext& context,
                        const TensorView<float, 2>& logits) const {
  const StepScope scope(context);
  const Device& device = *args_.kernels.device;
  const auto room = RoomOnDevice(logits, device, context);
  args_.kernels.linear(
      {.x = hidden, .weight = args_.weights.lm_head, .output = Output::kStore, .y = room}, context);
  FetchRows(room, logits, device);
}

}  // namespace hadal
