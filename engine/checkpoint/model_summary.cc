#include "engine/checkpoint/model_summary.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <limits>
#include <system_error>

#include "base/check.h"
#include "kernels/latent_cache.h"

namespace hadal {
namespace {

ParameterCounts CountParameters(const ModelConfig& config) {
  int64_t embedding = 0;
  int64_t head = 0;
  int64_t trunk = 0;
  int64_t routed_experts = 0;
  int64_t mtp = 0;
  for (const ExpectedTensor& tensor : ListExpectedTensors(config)) {
    if (tensor.role == TensorRole::kBlockScale || tensor.presence == TensorPresence::kCopy) {
      continue;
    }
    const int64_t num_elements = tensor.num_elements();
    if (tensor.layer >= config.num_hidden_layers) {
      mtp += num_elements;
      continue;
    }
    switch (tensor.group) {
      case TensorGroup::kEmbedding:
        embedding += num_elements;
        break;
      case TensorGroup::kHead:
        head += num_elements;
        break;
      case TensorGroup::kTrunk:
        trunk += num_elements;
        break;
      case TensorGroup::kRoutedExperts:
        routed_experts += num_elements;
        break;
    }
  }
  ParameterCounts counts;
  counts.total = embedding + head + trunk + routed_experts;
  counts.active_without_tables = trunk;
  if (config.n_routed_experts > 0) {  // all experts have one size
    counts.active_without_tables +=
        routed_experts / config.n_routed_experts * config.num_experts_per_tok;
  }
  // A tied head is the embedding's table, and the product with it is part of every token's work.
  const int64_t head_table = config.vocab_size * config.hidden_size;
  counts.active_without_embedding = counts.active_without_tables + head_table;
  counts.active = counts.active_without_tables + embedding + head;
  counts.mtp = mtp;
  return counts;
}

constexpr std::string_view kAvailableKey = "MemAvailable:";

// The bytes that "   123 kB" tells.
absl::StatusOr<int64_t> ParseKibibytes(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  int64_t kibibytes = 0;
  const auto [rest, error] = std::from_chars(text.begin(), text.end(), kibibytes);
  if (error != std::errc() || std::string_view(rest, text.end()) != " kB" || kibibytes < 0 ||
      kibibytes > std::numeric_limits<int64_t>::max() / 1024) {
    return InvalidArgument("expected a number of kB, found \"%s\"", text);
  }
  return kibibytes * 1024;
}

}  // namespace

ModelSummary SummarizeModel(const ModelConfig& config) {
  ModelSummary summary;
  summary.family = config.family;
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    ++(config.IsMoeLayer(layer) ? summary.num_moe_layers : summary.num_dense_layers);
  }
  summary.num_mtp_layers = config.num_nextn_predict_layers;
  summary.parameters = CountParameters(config);
  summary.weights = PublishedTotals(config, TableCopies::kLeftOut);
  return summary;
}

std::string_view NameOf(ModelFamily family) {
  switch (family) {
    case ModelFamily::kDeepseekV2:
      return "DeepSeek-V2";
    case ModelFamily::kDeepseekV3:
      return "DeepSeek-V3";
    case ModelFamily::kKimiK2:
      return "Kimi-K2";
  }
  CHECK(false);
}

std::map<DType, DTypeTotal> StoredTotals(const Checkpoint& checkpoint) {
  std::map<DType, DTypeTotal> totals;
  for (const TensorInfo& tensor : checkpoint.tensors()) {
    const auto num_bytes = static_cast<int64_t>(tensor.data.size());
    totals[tensor.dtype].num_elements += num_bytes / SizeOf(tensor.dtype);
    totals[tensor.dtype].num_bytes += num_bytes;
  }
  return totals;
}

int64_t SumBytes(const std::map<DType, DTypeTotal>& totals) {
  int64_t sum = 0;
  for (const auto& [dtype, total] : totals) {
    sum += total.num_bytes;
  }
  return sum;
}

int64_t CacheRowBytes(const ModelConfig& config, DType dtype) {
  return LatentRowBytes(dtype, config.kv_lora_rank, config.latent_row_width());
}

int64_t CacheBytesPerToken(const ModelConfig& config, DType dtype) {
  return config.num_hidden_layers * CacheRowBytes(config, dtype);
}

absl::StatusOr<int64_t> ReadAvailableMemory(const std::string& meminfo_path) {
  std::ifstream file(meminfo_path);  // files under /proc have no size, so they cannot be mapped
  std::string line;
  while (std::getline(file, line)) {
    if (line.starts_with(kAvailableKey)) {
      absl::StatusOr<int64_t> num_bytes =
          ParseKibibytes(std::string_view(line).substr(kAvailableKey.size()));
      return num_bytes.ok() ? num_bytes
                            : Annotate(num_bytes.status(), meminfo_path + ": MemAvailable");
    }
  }
  return InvalidArgument("%s: no MemAvailable", meminfo_path);
}

}  // namespace hadal
