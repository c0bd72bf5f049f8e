#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "engine/checkpoint/safetensors_file.h"

namespace hadal {

/// The safetensors files of a checkpoint folder and what each should hold.
struct ShardIndex {
  std::string path;                                   // of the index; empty when there is none
  std::vector<std::string> shards;                    // file names without folder, rising
  std::unordered_map<std::string, size_t> shard_ids;  // by tensor; empty when there is no index
};

/// Reads `dir`/model.safetensors.index.json or, when there is none, takes the one file
/// `dir`/model.safetensors. InvalidArgument when the index is malformed, names a shard that is not
/// a plain *.safetensors file name, or stands beside a model.safetensors that it does not name;
/// NotFound when there is neither.
absl::StatusOr<ShardIndex> ReadShardIndex(const std::string& dir);

/// Checks that each tensor of the index is in the shard that the index names and that no shard
/// holds another. `files` are the opened shards, in the order of index.shards. InvalidArgument
/// names file and tensor.
absl::Status CheckShards(const ShardIndex& index, std::span<const SafetensorsFile> files);

}  // namespace hadal
