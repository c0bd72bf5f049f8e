#include "engine/model/weights.h"

#include <algorithm>
#include <string>
#include <unordered_set>
#include <utility>

#include "base/checked_cast.h"
#include "base/cpu/numa.h"
#include "engine/checkpoint/stored_matrix.h"
#include "engine/checkpoint/weight_map.h"
#include "engine/model/device_weights.h"

namespace hadal {

/// Builds Weights from a checkpoint whose tensors were checked against its config.
class WeightLoader {
 public:
  WeightLoader(const Checkpoint& checkpoint, std::optional<PackedWeights> packed)
      : checkpoint_(checkpoint), config_(checkpoint.config()) {
    if (packed.has_value()) {
      weights_.packed_origin_ = packed->origin();
    }
    weights_.packed_ = std::move(packed);
  }

  absl::StatusOr<Weights> Load() {
    ASSIGN_OR_RETURN(weights_.embed_tokens, Matrix("model.embed_tokens.weight"));
    for (int64_t i = 0; i < config_.num_hidden_layers; ++i) {
      ASSIGN_OR_RETURN(LayerWeights layer, Layer(i));
      weights_.layers.push_back(std::move(layer));
    }
    ASSIGN_OR_RETURN(weights_.norm, Vector("model.norm.weight"));
    if (config_.tie_word_embeddings && !weights_.packed_.has_value()) {
      weights_.lm_head = weights_.embed_tokens;
    } else {
      ASSIGN_OR_RETURN(weights_.lm_head, Matrix("lm_head.weight"));
    }
    for (int64_t i = 0; i < config_.num_nextn_predict_layers; ++i) {
      ASSIGN_OR_RETURN(MtpWeights mtp, Mtp(config_.num_hidden_layers + i));
      weights_.mtp.push_back(std::move(mtp));
    }
    return std::move(weights_);
  }

 private:
  static std::string Prefix(int64_t layer) { return absl::StrFormat("model.layers.%d.", layer); }

  absl::StatusOr<LayerWeights> Layer(int64_t i) {
    const std::string prefix = Prefix(i);
    const std::string attention = prefix + "self_attn.";
    LayerWeights layer;
    ASSIGN_OR_RETURN(layer.input_layernorm, Vector(prefix + "input_layernorm.weight"));
    MlaProjectWeights& project = layer.mla_project;
    if (config_.q_lora_rank > 0) {
      ASSIGN_OR_RETURN(project.q_a_proj, Matrix(attention + "q_a_proj.weight"));
      ASSIGN_OR_RETURN(project.q_a_layernorm, Vector(attention + "q_a_layernorm.weight"));
      ASSIGN_OR_RETURN(project.q_b_proj, Matrix(attention + "q_b_proj.weight"));
    } else {
      ASSIGN_OR_RETURN(project.q_b_proj, Matrix(attention + "q_proj.weight"));
    }
    ASSIGN_OR_RETURN(project.kv_a_proj_with_mqa, Matrix(attention + "kv_a_proj_with_mqa.weight"));
    ASSIGN_OR_RETURN(project.kv_a_layernorm, Vector(attention + "kv_a_layernorm.weight"));
    ASSIGN_OR_RETURN(layer.kv_b_proj, KvUp(attention));
    ASSIGN_OR_RETURN(layer.o_proj, Matrix(attention + "o_proj.weight"));
    ASSIGN_OR_RETURN(layer.post_attention_layernorm,
                     Vector(prefix + "post_attention_layernorm.weight"));
    if (config_.IsMoeLayer(i)) {
      ASSIGN_OR_RETURN(layer.mlp, Moe(prefix + "mlp."));
    } else {
      ASSIGN_OR_RETURN(layer.mlp, Mlp(prefix + "mlp."));
    }
    return layer;
  }

  absl::StatusOr<MlpWeights> Mlp(const std::string& prefix) {
    MlpWeights mlp;
    ASSIGN_OR_RETURN(mlp.gate_proj, Matrix(prefix + "gate_proj.weight"));
    ASSIGN_OR_RETURN(mlp.up_proj, Matrix(prefix + "up_proj.weight"));
    ASSIGN_OR_RETURN(mlp.down_proj, Matrix(prefix + "down_proj.weight"));
    return mlp;
  }

  absl::StatusOr<MoeWeights> Moe(const std::string& prefix) {
    MoeWeights moe;
    ASSIGN_OR_RETURN(moe.gate, Matrix(prefix + "gate.weight"));
    if (config_.topk_method == TopkMethod::kNoauxTc) {
      ASSIGN_OR_RETURN(moe.e_score_correction_bias,
                       Vector(prefix + "gate.e_score_correction_bias"));
    }
    for (int64_t expert = 0; expert < config_.n_routed_experts; ++expert) {
      ASSIGN_OR_RETURN(MlpWeights mlp, Mlp(absl::StrFormat("%sexperts.%d.", prefix, expert)));
      moe.experts.push_back(mlp);
    }
    if (config_.n_shared_experts > 0) {
      ASSIGN_OR_RETURN(moe.shared_experts, Mlp(prefix + "shared_experts."));
    }
    return moe;
  }

  absl::StatusOr<MtpWeights> Mtp(int64_t i) {
    const std::string prefix = Prefix(i);
    MtpWeights mtp;
    ASSIGN_OR_RETURN(mtp.enorm, Vector(prefix + "enorm.weight"));
    ASSIGN_OR_RETURN(mtp.hnorm, Vector(prefix + "hnorm.weight"));
    ASSIGN_OR_RETURN(mtp.eh_proj, Matrix(prefix + "eh_proj.weight"));
    ASSIGN_OR_RETURN(mtp.layer, Layer(i));
    ASSIGN_OR_RETURN(mtp.shared_head_norm, Vector(prefix + "shared_head.norm.weight"));
    return mtp;
  }

  absl::StatusOr<KvUpWeights> KvUp(const std::string& attention) {
    KvUpWeights weights;
    if (weights_.packed_.has_value()) {
      weights.keys = *weights_.packed_->Find(PackedKeysName(attention));
      weights.values = *weights_.packed_->Find(PackedValuesName(attention));
    } else {
      ASSIGN_OR_RETURN(weights.whole, Matrix(attention + "kv_b_proj.weight"));
    }
    return weights;
  }

  // A matrix in panels when it is packed, else as it is stored.
  absl::StatusOr<WeightMatrix> Matrix(const std::string& name) {
    if (weights_.packed_.has_value()) {
      if (const WeightMatrix* const packed = weights_.packed_->Find(name)) {
        return *packed;
      }
    }
    return StoredMatrix(checkpoint_, name, weights_.owned_);
  }

  // A vector, converted to float.
  absl::StatusOr<TensorView<const float, 1>> Vector(const std::string& name) {
    const TensorInfo& tensor = checkpoint_.Get(name);
    const int64_t size = tensor.shape[0];
    ASSIGN_OR_RETURN(const void* data, AlignedData(tensor, weights_.owned_));
    const WeightMatrix row = {.format = tensor.dtype == DType::kF32    ? WeightFormat::kF32
                                        : tensor.dtype == DType::kBf16 ? WeightFormat::kBf16
                                                                       : WeightFormat::kF16,
                              .rows = 1,
                              .cols = size,
                              .payload = data};
    ASSIGN_OR_RETURN(
        DeviceBuffer copy,
        DeviceBuffer::Allocate(CpuDevice(), static_cast<size_t>(size) * sizeof(float)));
    auto* values = static_cast<float*>(copy.data());
    for (int64_t i = 0; i < size; ++i) {
      values[i] = WeightAt(row, 0, i);
    }
    weights_.owned_.push_back(std::move(copy));
    return MakeView(static_cast<const float*>(values), size);
  }

  const Checkpoint& checkpoint_;
  const ModelConfig& config_;
  Weights weights_;
};

namespace {

// The tensors that the model reads as they are stored, by file and place in it.
std::vector<const TensorInfo*> TensorsInUse(const Checkpoint& checkpoint, WeightPacking packing) {
  std::unordered_set<std::string> packed;
  if (packing != WeightPacking::kNative) {
    for (const PackedMatrix& matrix : MakePackedLayout(checkpoint.config(), packing).matrices) {
      const std::string& name = matrix.part == PackedPart::kWhole ? matrix.name : matrix.source;
      packed.insert(BlockScaleName(name));
      packed.insert(name);
    }
  }
  std::vector<const TensorInfo*> tensors;
  for (const TensorInfo& tensor : checkpoint.tensors()) {
    if (!packed.contains(tensor.name)) {
      tensors.push_back(&tensor);
    }
  }
  return tensors;
}

int64_t SumBytes(const std::vector<const TensorInfo*>& tensors) {
  int64_t bytes = 0;
  for (const TensorInfo* tensor : tensors) {
    bytes += CheckedCast<int64_t>(tensor->data.size());
  }
  return bytes;
}

// Touches every page of the data.
void ReadAll(const std::vector<const TensorInfo*>& tensors,
             absl::FunctionRef<void(int64_t done_bytes)> progress) {
  constexpr size_t kPageBytes = 4096;
  constexpr size_t kReportBytes = size_t{64} << 20U;
  int64_t done_bytes = 0;
  for (const TensorInfo* tensor : tensors) {
    for (size_t begin = 0; begin < tensor->data.size(); begin += kReportBytes) {
      const size_t end = std::min(tensor->data.size(), begin + kReportBytes);
      for (size_t offset = begin; offset < end; offset += kPageBytes) {
        // A volatile read is one that the compiler must do.
        [[maybe_unused]] const auto byte = static_cast<uint8_t>(
            *static_cast<const volatile std::byte*>(tensor->data.data() + offset));
      }
      done_bytes += CheckedCast<int64_t>(end - begin);
      progress(done_bytes);
    }
  }
}

}  // namespace

absl::StatusOr<Weights> Weights::Load(const LoadArgs& args) {
  const InterleaveScope interleave(ReadMemoryNodes());
  using FileCheck = PackedWeights::FileCheck;
  const std::vector<const TensorInfo*> tensors = TensorsInUse(args.checkpoint, args.packing);
  const int64_t weight_bytes = SizeBytes(args.checkpoint, args.packing);
  const int64_t packed_bytes = weight_bytes - SumBytes(tensors);
  // What goes to a device is read when it is copied, and not ahead.
  const int64_t total_bytes = args.device.is_host ? weight_bytes : packed_bytes + weight_bytes;
  std::optional<PackedWeights> packed;
  if (args.packing != WeightPacking::kNative) {
    ASSIGN_OR_RETURN(
        packed,
        PackedWeights::Load(
            {.checkpoint = args.checkpoint,
             .packing = args.packing,
             .folder = args.packed_folder,
             .check = args.read_ahead == ReadAhead::kAll ? FileCheck::kWhole : FileCheck::kHeader,
             .pool = args.pool,
             .progress = [&](int64_t done_bytes) { args.progress(done_bytes, total_bytes); }}));
  }
  const auto progress = [&](int64_t done_bytes, int64_t /*total*/) {
    args.progress(packed_bytes + std::min(done_bytes, total_bytes - packed_bytes), total_bytes);
  };
  if (args.read_ahead == ReadAhead::kAll && args.device.is_host) {
    ReadAll(tensors, [&](int64_t done_bytes) { progress(done_bytes, total_bytes); });
  }
  ASSIGN_OR_RETURN(Weights weights, WeightLoader(args.checkpoint, std::move(packed)).Load());
  if (args.device.is_host) {
    return weights;
  }
  // The copies' bytes are not just those of the files: vectors are widened, and a tied head has
  // none.
  ASSIGN_OR_RETURN(Weights copy, weights.CopyTo(args.device, progress));
  args.progress(total_bytes, total_bytes);
  return copy;
}

absl::StatusOr<Weights> Weights::CopyTo(const Device& device, Progress progress) const {
  Weights copy;
  copy.embed_tokens = embed_tokens;
  copy.layers = layers;
  copy.norm = norm;
  copy.lm_head = lm_head;
  copy.mtp = mtp;
  copy.packed_origin_ = packed_origin_;
  const int64_t total_bytes = TensorBytes(*this);
  RETURN_IF_ERROR(MoveToDevice(
      device, [&](int64_t done_bytes) { progress(done_bytes, total_bytes); }, copy, copy.owned_));
  return copy;
}

int64_t Weights::SizeBytes(const Checkpoint& checkpoint, WeightPacking packing) {
  const int64_t packed_bytes = packing == WeightPacking::kNative
                                   ? 0
                                   : MakePackedLayout(checkpoint.config(), packing).total_bytes;
  return SumBytes(TensorsInUse(checkpoint, packing)) + packed_bytes;
}

int64_t Weights::DeviceBytes(const Checkpoint& checkpoint, WeightPacking packing) {
  int64_t bytes = SizeBytes(checkpoint, packing);
  if (packing != WeightPacking::kNative) {
    bytes += std::ssize(MakePackedLayout(checkpoint.config(), packing).matrices) * kDeviceAlignment;
  }
  for (const TensorInfo* tensor : TensorsInUse(checkpoint, packing)) {
    const bool is_vector = tensor->shape.size() == 1;
    bytes += kDeviceAlignment +
             (is_vector ? tensor->shape[0] * (SizeOf(DType::kF32) - SizeOf(tensor->dtype)) : 0);
  }
  return bytes;
}

}  // namespace hadal
