#include "engine/op_rows.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "kernels/finite.h"

namespace hadal {
namespace {

constexpr std::array<int32_t, 2> kOneToken = {0, 1};  // query_starts

bool HeadsAreFinite(const TensorView<const float, 3>& heads, int64_t row) {
  for (int64_t head = 0; head < heads.extent(1); ++head) {
    if (!AllFinite(heads.Row(row, head))) {
      return false;
    }
  }
  return true;
}

template <typename T>
std::span<const T> Elements(const std::byte* data, int64_t count) {
  return {reinterpret_cast<const T*>(data), static_cast<size_t>(count)};
}

bool CacheRowIsFinite(const LatentCache& cache, int64_t slot) {
  const std::byte* row = RowOf(cache, slot);
  if (cache.dtype == DType::kF32) {
    return AllFinite(Elements<float>(row, cache.row_width));
  }
  if (cache.dtype == DType::kBf16) {
    return AllFinite(Elements<bf16>(row, cache.row_width));
  }
  CHECK(HasLatentScales(cache.dtype));
  const int64_t scales = LatentScalesOffset(cache.kv_lora_rank);
  const int64_t key = LatentKeyOffset(cache.kv_lora_rank);
  return AllFinite(Elements<float>(row + scales, (key - scales) / int64_t{sizeof(float)})) &&
         AllFinite(Elements<bf16>(row + key, cache.row_width - cache.kv_lora_rank));
}

}  // namespace

int64_t NumRows(const EmbeddingArgs& args) {
  return args.y.extent(0);
}
int64_t NumRows(const RmsNormArgs& args) {
  return args.y.extent(0);
}
int64_t NumRows(const LinearArgs& args) {
  return args.y.extent(0);
}
int64_t NumRows(const MlpArgs& args) {
  return args.y.extent(0);
}
int64_t NumRows(const MlaProjectArgs& args) {
  return args.x.extent(0);
}
int64_t NumRows(const MlaAttentionArgs& args) {
  return args.q.extent(0);
}
int64_t NumRows(const MoeRouteArgs& args) {
  return args.x.extent(0);
}
int64_t NumRows(const MoeExpertsArgs& args) {
  return args.y.extent(0);
}
int64_t NumRows(const GatherRowsArgs& args) {
  return args.y.extent(0);
}
int64_t NumRows(const CheckFiniteArgs& args) {
  return args.x.extent(0);
}
int64_t NumRows(const SampleArgs& args) {
  return args.choices.extent(0);
}

TensorView<float, 2> ChangedInput(const EmbeddingArgs& /*args*/) {
  return {};
}
TensorView<float, 2> ChangedInput(const RmsNormArgs& args) {
  return args.x.data == args.y.data ? args.y : TensorView<float, 2>();
}
TensorView<float, 2> ChangedInput(const LinearArgs& args) {
  return args.output == Output::kAdd ? args.y : TensorView<float, 2>();
}
TensorView<float, 2> ChangedInput(const MlpArgs& args) {
  return args.y;
}
TensorView<float, 2> ChangedInput(const MlaProjectArgs& /*args*/) {
  return {};
}
TensorView<float, 2> ChangedInput(const MlaAttentionArgs& /*args*/) {
  return {};
}
TensorView<float, 2> ChangedInput(const MoeRouteArgs& /*args*/) {
  return {};
}
TensorView<float, 2> ChangedInput(const MoeExpertsArgs& args) {
  return args.y;
}
TensorView<float, 2> ChangedInput(const GatherRowsArgs& /*args*/) {
  return {};
}
TensorView<float, 2> ChangedInput(const CheckFiniteArgs& /*args*/) {
  return {};
}
TensorView<float, 2> ChangedInput(const SampleArgs& /*args*/) {
  return {};
}

bool InputIsFinite(const EmbeddingArgs& /*args*/, int64_t /*row*/) {
  return true;
}
bool InputIsFinite(const RmsNormArgs& args, int64_t row) {
  return AllFinite(args.x.Row(row));
}
bool InputIsFinite(const LinearArgs& args, int64_t row) {
  return AllFinite(args.x.Row(row)) &&
         (args.output == Output::kStore || AllFinite(args.y.Row(row)));
}
bool InputIsFinite(const MlpArgs& args, int64_t row) {
  return AllFinite(args.x.Row(row)) && AllFinite(args.y.Row(row));
}
bool InputIsFinite(const MlaProjectArgs& args, int64_t row) {
  return AllFinite(args.x.Row(row));
}
bool InputIsFinite(const MlaAttentionArgs& args, int64_t row) {
  return HeadsAreFinite(args.q, row);
}
bool InputIsFinite(const MoeRouteArgs& args, int64_t row) {
  return AllFinite(args.x.Row(row));
}
bool InputIsFinite(const MoeExpertsArgs& args, int64_t row) {
  return AllFinite(args.x.Row(row)) && AllFinite(args.weights.Row(row)) &&
         AllFinite(args.y.Row(row));
}
bool InputIsFinite(const GatherRowsArgs& args, int64_t row) {
  return AllFinite(args.x.Row(args.rows(row)));
}
bool InputIsFinite(const CheckFiniteArgs& args, int64_t row) {
  return AllFinite(args.x.Row(row));
}
bool InputIsFinite(const SampleArgs& args, int64_t row) {
  return AllFinite(args.logits.Row(args.choices(row).row));
}

bool OutputIsFinite(const EmbeddingArgs& args, int64_t row) {
  return AllFinite(args.y.Row(row));
}
bool OutputIsFinite(const RmsNormArgs& args, int64_t row) {
  return AllFinite(args.y.Row(row));
}
bool OutputIsFinite(const LinearArgs& args, int64_t row) {
  return AllFinite(args.y.Row(row));
}
bool OutputIsFinite(const MlpArgs& args, int64_t row) {
  return AllFinite(args.y.Row(row));
}
bool OutputIsFinite(const MlaProjectArgs& args, int64_t row) {
  return HeadsAreFinite(args.q, row) && CacheRowIsFinite(args.cache, args.slots(row));
}
bool OutputIsFinite(const MlaAttentionArgs& args, int64_t row) {
  return HeadsAreFinite(args.out, row);
}
bool OutputIsFinite(const MoeRouteArgs& args, int64_t row) {
  return AllFinite(args.weights.Row(row));
}
bool OutputIsFinite(const MoeExpertsArgs& args, int64_t row) {
  return AllFinite(args.y.Row(row));
}
bool OutputIsFinite(const GatherRowsArgs& args, int64_t row) {
  return AllFinite(args.y.Row(row));
}
bool OutputIsFinite(const CheckFiniteArgs& args, int64_t row) {
  return args.is_finite(row) != 0;
}
bool OutputIsFinite(const SampleArgs& args, int64_t row) {
  return args.token_ids(row) != kNoToken;
}

EmbeddingArgs OneRow(const EmbeddingArgs& args, int64_t row) {
  EmbeddingArgs one = args;
  one.token_ids = args.token_ids.Slice(row, 1);
  one.y = args.y.Slice(row, 1);
  return one;
}

RmsNormArgs OneRow(const RmsNormArgs& args, int64_t row) {
  RmsNormArgs one = args;
  one.x = args.x.Slice(row, 1);
  one.y = args.y.Slice(row, 1);
  return one;
}

LinearArgs OneRow(const LinearArgs& args, int64_t row) {
  LinearArgs one = args;
  one.x = args.x.Slice(row, 1);
  one.y = args.y.Slice(row, 1);
  return one;
}

MlpArgs OneRow(const MlpArgs& args, int64_t row) {
  MlpArgs one = args;
  one.x = args.x.Slice(row, 1);
  one.y = args.y.Slice(row, 1);
  return one;
}

MlaProjectArgs OneRow(const MlaProjectArgs& args, int64_t row) {
  MlaProjectArgs one = args;
  one.x = args.x.Slice(row, 1);
  one.angles.cos = args.angles.cos.Slice(row, 1);
  one.angles.sin = args.angles.sin.Slice(row, 1);
  one.slots = args.slots.Slice(row, 1);
  one.q = args.q.Slice(row, 1);
  return one;
}

MlaAttentionArgs OneRow(const MlaAttentionArgs& args, int64_t row) {
  const std::span<const int32_t> starts = args.query_starts.Row();
  const auto next = std::upper_bound(starts.begin(), starts.end(), row);
  CHECK(next != starts.begin());
  MlaAttentionArgs one = args;
  one.q = args.q.Slice(row, 1);
  one.query_starts = MakeView(kOneToken.data(), std::ssize(kOneToken));
  one.block_tables = args.block_tables.Slice(next - starts.begin() - 1, 1);
  one.positions = args.positions.Slice(row, 1);
  one.out = args.out.Slice(row, 1);
  return one;
}

MoeRouteArgs OneRow(const MoeRouteArgs& args, int64_t row) {
  MoeRouteArgs one = args;
  one.x = args.x.Slice(row, 1);
  one.expert_ids = args.expert_ids.Slice(row, 1);
  one.weights = args.weights.Slice(row, 1);
  return one;
}

MoeExpertsArgs OneRow(const MoeExpertsArgs& args, int64_t row) {
  MoeExpertsArgs one = args;
  one.x = args.x.Slice(row, 1);
  one.expert_ids = args.expert_ids.Slice(row, 1);
  one.weights = args.weights.Slice(row, 1);
  one.y = args.y.Slice(row, 1);
  return one;
}

GatherRowsArgs OneRow(const GatherRowsArgs& args, int64_t row) {
  GatherRowsArgs one = args;
  one.rows = args.rows.Slice(row, 1);
  one.y = args.y.Slice(row, 1);
  return one;
}

CheckFiniteArgs OneRow(const CheckFiniteArgs& args, int64_t row) {
  CheckFiniteArgs one = args;
  one.x = args.x.Slice(row, 1);
  one.is_finite = args.is_finite.Slice(row, 1);
  return one;
}

SampleArgs OneRow(const SampleArgs& args, int64_t row) {
  SampleArgs one = args;
  one.choices = args.choices.Slice(row, 1);
  one.token_ids = args.token_ids.Slice(row, 1);
  return one;
}

}  // namespace hadal
