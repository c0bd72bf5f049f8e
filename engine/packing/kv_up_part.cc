#include "engine/packing/kv_up_part.h"

#include <utility>

#include "base/check.h"
#include "base/tensor_view.h"
#include "kernels/quantization/panels.h"

namespace hadal {

absl::StatusOr<WeightMatrix> KvUpPart(const WeightMatrix& kv_b_proj,
                                      PackedPart part,
                                      const ModelConfig& config,
                                      std::vector<DeviceBuffer>& copies) {
  CHECK(part != PackedPart::kWhole);
  const int64_t num_heads = config.num_attention_heads;
  const int64_t rank = config.kv_lora_rank;
  const int64_t nope_dim = config.qk_nope_head_dim;
  const bool is_keys = part == PackedPart::kKeys;
  const int64_t head_rows = RoundUpToPanel(is_keys ? rank : config.v_head_dim);
  const int64_t cols = is_keys ? nope_dim : rank;
  ASSIGN_OR_RETURN(
      DeviceBuffer buffer,
      DeviceBuffer::Allocate(CpuDevice(),
                             static_cast<size_t>(num_heads * head_rows * cols) * sizeof(float)));
  const auto values = MakeView(static_cast<float*>(buffer.data()), num_heads, head_rows, cols);
  std::vector<float> row(static_cast<size_t>(rank));
  for (int64_t h = 0; h < num_heads; ++h) {
    const int64_t first = h * (nope_dim + config.v_head_dim);
    if (is_keys) {
      for (int64_t i = 0; i < nope_dim; ++i) {
        WidenRow(kv_b_proj, first + i, row.data());
        for (int64_t j = 0; j < rank; ++j) {
          values(h, j, i) = row[static_cast<size_t>(j)];
        }
      }
    } else {
      for (int64_t i = 0; i < config.v_head_dim; ++i) {
        WidenRow(kv_b_proj, first + nope_dim + i, values.Row(h, i).data());
      }
    }
  }
  copies.push_back(std::move(buffer));
  return WeightMatrix{.format = WeightFormat::kF32,
                      .rows = num_heads * head_rows,
                      .cols = cols,
                      .payload = values.data};
}

}  // namespace hadal
