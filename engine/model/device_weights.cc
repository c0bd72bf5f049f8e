#include "engine/model/device_weights.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/checked_cast.h"

namespace hadal {
namespace {

int64_t RoundUp(int64_t size_bytes) {
  return (size_bytes + kDeviceAlignment - 1) / kDeviceAlignment * kDeviceAlignment;
}

// Visit calls visit(pointer, bytes) for each piece of memory that its argument's views name.
template <typename Visitor>
void Visit(TensorView<const float, 1>& vector, Visitor& visit) {
  if (vector.data != nullptr) {
    visit(vector.data, vector.num_elements() * int64_t{sizeof(float)});
  }
}

template <typename Visitor>
void Visit(WeightMatrix& matrix, Visitor& visit) {
  if (matrix.payload == nullptr) {
    return;
  }
  const int64_t scale_bytes = ScaleBytes(matrix);
  visit(matrix.payload, SizeBytes(matrix) - scale_bytes);
  if (scale_bytes > 0) {
    visit(matrix.scales, scale_bytes);
  }
}

template <typename Visitor>
void Visit(MlpWeights& mlp, Visitor& visit) {
  Visit(mlp.gate_proj, visit);
  Visit(mlp.up_proj, visit);
  Visit(mlp.down_proj, visit);
}

// The pieces of one expert are as large as those of any other, and so are their distances.
template <typename Visitor>
void Visit(MoeWeights& moe, Visitor& visit) {
  Visit(moe.gate, visit);
  Visit(moe.e_score_correction_bias, visit);
  for (MlpWeights& expert : moe.experts) {
    Visit(expert, visit);
  }
  if (moe.shared_experts.has_value()) {
    Visit(*moe.shared_experts, visit);
  }
}

template <typename Visitor>
void Visit(LayerWeights& layer, Visitor& visit) {
  Visit(layer.input_layernorm, visit);
  Visit(layer.mla_project.q_a_proj, visit);
  Visit(layer.mla_project.q_a_layernorm, visit);
  Visit(layer.mla_project.q_b_proj, visit);
  Visit(layer.mla_project.kv_a_proj_with_mqa, visit);
  Visit(layer.mla_project.kv_a_layernorm, visit);
  Visit(layer.kv_b_proj.whole, visit);
  Visit(layer.kv_b_proj.keys, visit);
  Visit(layer.kv_b_proj.values, visit);
  Visit(layer.o_proj, visit);
  Visit(layer.post_attention_layernorm, visit);
  std::visit([&visit](auto& mlp) { Visit(mlp, visit); }, layer.mlp);
}

template <typename Visitor>
void Visit(MtpWeights& mtp, Visitor& visit) {
  Visit(mtp.enorm, visit);
  Visit(mtp.hnorm, visit);
  Visit(mtp.eh_proj, visit);
  Visit(mtp.layer, visit);
  Visit(mtp.shared_head_norm, visit);
}

bool IsTied(const Weights& weights) {
  return weights.lm_head.payload == weights.embed_tokens.payload;
}

// What belongs to no layer; a head that is tied to the embedding is not visited.
template <typename Visitor>
void Visit(Weights& weights, Visitor& visit) {
  const bool is_tied = IsTied(weights);  // before a visit moves one of them
  Visit(weights.embed_tokens, visit);
  Visit(weights.norm, visit);
  if (!is_tied) {
    Visit(weights.lm_head, visit);
  }
}

// Calls visit(part) for all that gets a buffer of its own.
template <typename Visitor>
absl::Status ForEachPart(Weights& weights, Visitor visit) {
  for (LayerWeights& layer : weights.layers) {
    RETURN_IF_ERROR(visit(layer));
  }
  for (MtpWeights& mtp : weights.mtp) {
    RETURN_IF_ERROR(visit(mtp));
  }
  return visit(weights);
}

// Bytes of the pieces of all parts, each rounded by `round`.
template <typename Round>
int64_t SumBytes(Weights& weights, Round round) {
  int64_t total = 0;
  const auto add = [&](const void* /*data*/, int64_t size_bytes) { total += round(size_bytes); };
  const auto add_part = [&](auto& part) {
    Visit(part, add);
    return absl::OkStatus();
  };
  CHECK(ForEachPart(weights, add_part).ok());
  return total;
}

// Copies to the device through two buffers that it reads fastest: while one is on its way the other
// is filled, from a file's mapped pages or wherever the weights are.
class StagedCopies {
 public:
  static absl::StatusOr<StagedCopies> Create(const Device& device, int64_t total_bytes) {
    StagedCopies copies(device);
    const auto size_bytes = CheckedCast<size_t>(std::min(total_bytes, kStagedBytes));
    for (DeviceBuffer& buffer : copies.buffers_) {
      ASSIGN_OR_RETURN(buffer, DeviceBuffer::Allocate(HostOf(device), size_bytes));
    }
    return copies;
  }

  void Copy(std::byte* to, const void* from, int64_t size_bytes) {
    const auto* source = static_cast<const std::byte*>(from);
    while (size_bytes > 0) {
      const DeviceBuffer& buffer = buffers_[next_];
      const int64_t count = std::min(size_bytes, CheckedCast<int64_t>(buffer.size_bytes()));
      CopyHost(buffer.data(), source, CheckedCast<size_t>(count));
      Finish();
      device_->begin_copy(to, buffer.data(), CheckedCast<size_t>(count));
      next_ = 1 - next_;
      to += count;
      source += count;
      size_bytes -= count;
    }
  }

  void Finish() { device_->finish_copies(); }

 private:
  static constexpr int64_t kStagedBytes = int64_t{64} << 20U;  // in one buffer

  explicit StagedCopies(const Device& device) : device_(&device) {}

  const Device* device_;
  std::array<DeviceBuffer, 2> buffers_;
  size_t next_ = 0;  // to fill
};

}  // namespace

int64_t TensorBytes(const Weights& weights) {
  // Only what visits change is not const.
  return SumBytes(const_cast<Weights&>(weights), [](int64_t size_bytes) { return size_bytes; });
}

absl::Status MoveToDevice(const Device& device,
                          absl::FunctionRef<void(int64_t done_bytes)> progress,
                          Weights& weights,
                          std::vector<DeviceBuffer>& buffers) {
  const int64_t total_bytes = SumBytes(weights, &RoundUp);
  if (device.available_bytes != nullptr && total_bytes > device.available_bytes()) {
    return ResourceExhausted("the weights' %d bytes exceed the %d bytes that device %s has left",
                             total_bytes,
                             device.available_bytes(),
                             device.name);
  }
  const bool is_tied = IsTied(weights);
  ASSIGN_OR_RETURN(StagedCopies copies, StagedCopies::Create(device, total_bytes));
  int64_t done_bytes = 0;
  const auto move_part = [&](auto& part) -> absl::Status {
    int64_t part_bytes = 0;
    const auto add = [&](const void* /*data*/, int64_t size_bytes) {
      part_bytes += RoundUp(size_bytes);
    };
    Visit(part, add);
    ASSIGN_OR_RETURN(DeviceBuffer buffer,
                     DeviceBuffer::Allocate(device, CheckedCast<size_t>(part_bytes)));
    auto* place = static_cast<std::byte*>(buffer.data());
    const auto move = [&]<typename Pointer>(Pointer& data, int64_t size_bytes) {
      copies.Copy(place, data, size_bytes);
      data = reinterpret_cast<Pointer>(place);
      place += RoundUp(size_bytes);
      done_bytes += size_bytes;
      progress(done_bytes);
    };
    Visit(part, move);
    buffers.push_back(std::move(buffer));
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(ForEachPart(weights, move_part));
  copies.Finish();
  if (is_tied) {
    weights.lm_head = weights.embed_tokens;
  }
  return absl::OkStatus();
}

}  // namespace hadal
