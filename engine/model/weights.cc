#include "engine/model/weights.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "base/checked_cast.h"
#include "base/cpu/numa.h"
#include "engine/checkpoint/weight_map.h"

namespace hadal {

/// Builds Weights from a checkpoint whose tensors were checked against its config.
class WeightLoader {
 public:
  explicit WeightLoader(const Checkpoint& checkpoint)
      : checkpoint_(checkpoint), config_(checkpoint.config()) {}

  absl::StatusOr<Weights> Load() {
    ASSIGN_OR_RETURN(weights_.embed_tokens, Matrix("model.embed_tokens.weight"));
    for (int64_t i = 0; i < config_.num_hidden_layers; ++i) {
      ASSIGN_OR_RETURN(LayerWeights layer, Layer(i));
      weights_.layers.push_back(std::move(layer));
    }
    ASSIGN_OR_RETURN(weights_.norm, Vector("model.norm.weight"));
    if (config_.tie_word_embeddings) {
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
    ASSIGN_OR_RETURN(layer.kv_b_proj, Matrix(attention + "kv_b_proj.weight"));
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

  absl::StatusOr<WeightMatrix> Matrix(const std::string& name) {
    const TensorInfo& tensor = checkpoint_.Get(name);
    WeightMatrix matrix = {.rows = tensor.shape[0], .cols = tensor.shape[1]};
    ASSIGN_OR_RETURN(matrix.payload, AlignedData(tensor));
    switch (tensor.dtype) {
      case DType::kF32:
        matrix.format = WeightFormat::kF32;
        return matrix;
      case DType::kBf16:
        matrix.format = WeightFormat::kBf16;
        return matrix;
      case DType::kF16:
        matrix.format = WeightFormat::kF16;
        return matrix;
      case DType::kFp8E4m3: {
        matrix.format = WeightFormat::kFp8Block;
        matrix.block_rows = config_.quantization->block_rows;
        matrix.block_cols = config_.quantization->block_cols;
        ASSIGN_OR_RETURN(const void* scales, AlignedData(checkpoint_.Get(BlockScaleName(name))));
        matrix.scales = static_cast<const float*>(scales);
        return matrix;
      }
      default:
        return Internal(
            "%s: a matrix of dtype %s passed the checkpoint's check", name, NameOf(tensor.dtype));
    }
  }

  // A vector, converted to float.
  absl::StatusOr<TensorView<const float, 1>> Vector(const std::string& name) {
    const TensorInfo& tensor = checkpoint_.Get(name);
    const int64_t size = tensor.shape[0];
    ASSIGN_OR_RETURN(const void* data, AlignedData(tensor));
    const WeightMatrix row = {.format = tensor.dtype == DType::kF32    ? WeightFormat::kF32
                                        : tensor.dtype == DType::kBf16 ? WeightFormat::kBf16
                                                                       : WeightFormat::kF16,
                              .rows = 1,
                              .cols = size,
                              .payload = data};
    ASSIGN_OR_RETURN(void* copy, Own(static_cast<size_t>(size) * sizeof(float)));
    auto* values = static_cast<float*>(copy);
    for (int64_t i = 0; i < size; ++i) {
      values[i] = WeightAt(row, 0, i);
    }
    return MakeView(static_cast<const float*>(values), size);
  }

  // The tensor's bytes where its elements are aligned: in the file, or a copy.
  absl::StatusOr<const void*> AlignedData(const TensorInfo& tensor) {
    const void* data = tensor.data.data();
    if (reinterpret_cast<uintptr_t>(data) % static_cast<uintptr_t>(SizeOf(tensor.dtype)) == 0) {
      return data;
    }
    ASSIGN_OR_RETURN(void* copy, Own(tensor.data.size()));
    std::memcpy(copy, data, tensor.data.size());
    return copy;
  }

  absl::StatusOr<void*> Own(size_t size_bytes) {
    ASSIGN_OR_RETURN(DeviceBuffer buffer, DeviceBuffer::Allocate(CpuDevice(), size_bytes));
    void* data = buffer.data();
    weights_.owned_.push_back(std::move(buffer));
    return data;
  }

  const Checkpoint& checkpoint_;
  const ModelConfig& config_;
  Weights weights_;
};

namespace {

// Touches every page of the data, in file order.
void ReadAll(const Checkpoint& checkpoint, Weights::Progress progress) {
  constexpr size_t kPageBytes = 4096;
  constexpr size_t kReportBytes = size_t{64} << 20U;
  int64_t done_bytes = 0;
  for (const TensorInfo& tensor : checkpoint.tensors()) {
    for (size_t begin = 0; begin < tensor.data.size(); begin += kReportBytes) {
      const size_t end = std::min(tensor.data.size(), begin + kReportBytes);
      for (size_t offset = begin; offset < end; offset += kPageBytes) {
        // A volatile read is one that the compiler must do.
        [[maybe_unused]] const auto byte = static_cast<uint8_t>(
            *static_cast<const volatile std::byte*>(tensor.data.data() + offset));
      }
      done_bytes += CheckedCast<int64_t>(end - begin);
      progress(done_bytes, checkpoint.total_bytes());
    }
  }
}

}  // namespace

absl::StatusOr<Weights> Weights::Load(const Checkpoint& checkpoint,
                                      ReadAhead read_ahead,
                                      Progress progress) {
  const InterleaveScope interleave(ReadMemoryNodes());
  if (read_ahead == ReadAhead::kAll) {
    ReadAll(checkpoint, progress);
  }
  return WeightLoader(checkpoint).Load();
}

}  // namespace hadal
