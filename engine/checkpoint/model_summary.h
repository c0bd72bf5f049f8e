#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/dtype.h"
#include "base/status.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/checkpoint/model_config.h"
#include "engine/checkpoint/weight_map.h"

namespace hadal {

/// Parameter counts. Scales and copies of tables do not count. "Active" is what one token's forward
/// pass uses: all but the routed experts that it is not sent to. MTP layers count apart.
struct ParameterCounts {
  int64_t total = 0;
  int64_t active = 0;                    // embedding and head included
  int64_t active_without_embedding = 0;  // head included: what the matrix products of a token read
  int64_t active_without_tables = 0;     // neither embedding nor head
  int64_t mtp = 0;                       // all MTP layers, their own parameters alone
};

/// Numbers about a model that need only its config.
struct ModelSummary {
  ModelFamily family = ModelFamily::kDeepseekV2;
  int64_t num_dense_layers = 0;
  int64_t num_moe_layers = 0;  // without MTP layers
  int64_t num_mtp_layers = 0;
  ParameterCounts parameters;
  std::map<DType, DTypeTotal> weights;  // as published, each copied table once
};

ModelSummary SummarizeModel(const ModelConfig& config);

/// The published name of a family: "DeepSeek-V2", "DeepSeek-V3", "Kimi-K2".
std::string_view NameOf(ModelFamily family);

/// Elements and bytes that `checkpoint` really holds, by dtype.
std::map<DType, DTypeTotal> StoredTotals(const Checkpoint& checkpoint);

/// Bytes of `totals` together.
int64_t SumBytes(const std::map<DType, DTypeTotal>& totals);

/// Bytes of one token's cache row in one layer, stored as `dtype`.
int64_t CacheRowBytes(const ModelConfig& config, DType dtype);

/// Bytes of one token's cache rows in all main layers, stored as `dtype`.
int64_t CacheBytesPerToken(const ModelConfig& config, DType dtype);

/// `MemAvailable` of a file in the format of /proc/meminfo, in bytes: what programs can get without
/// swapping. InvalidArgument when the file or its line is missing or malformed.
absl::StatusOr<int64_t> ReadAvailableMemory(const std::string& meminfo_path);

}  // namespace hadal
