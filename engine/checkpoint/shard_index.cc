#include "engine/checkpoint/shard_index.h"

#include <algorithm>
#include <map>
#include <string_view>
#include <utility>

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include "base/json.h"
#include "base/json_fields.h"
#include "base/mapped_file.h"

namespace hadal {
namespace {

constexpr size_t kMaxIndexBytes = size_t{64} << 20;
constexpr std::string_view kIndexName = "model.safetensors.index.json";
constexpr std::string_view kSingleName = "model.safetensors";
constexpr std::string_view kExtension = ".safetensors";

absl::Status CheckShardName(std::string_view tensor, const boost::json::value& value) {
  if (!value.is_string()) {
    return InvalidArgument(
        "weight_map.%s: expected a file name, found %s", tensor, DescribeJson(value));
  }
  const boost::json::string& text = value.get_string();
  const std::string_view name(text.data(), text.size());
  if (name.find_first_of(std::string_view("/\\\0", 3)) != std::string_view::npos ||
      name.starts_with(".") || !name.ends_with(kExtension)) {
    return InvalidArgument(
        "weight_map.%s: expected the plain name of a .safetensors file, found %s",
        tensor,
        DescribeJson(value));
  }
  return absl::OkStatus();
}

absl::StatusOr<ShardIndex> ParseIndex(const boost::json::value& json) {
  if (!json.is_object()) {
    return InvalidArgument("expected an object, found %s", DescribeJson(json));
  }
  const JsonFields fields(json.get_object(), "");
  ASSIGN_OR_RETURN(const boost::json::object* const weight_map, fields.ObjectOrNull("weight_map"));
  if (weight_map == nullptr || weight_map->empty()) {
    return fields.Unexpected("weight_map", "an object that names a shard for each tensor");
  }
  std::map<std::string_view, size_t> ids;  // by shard
  for (const auto& member : *weight_map) {
    const std::string_view tensor(member.key().data(), member.key().size());
    RETURN_IF_ERROR(CheckShardName(tensor, member.value()));
    ids.emplace(member.value().get_string(), 0);
  }
  ShardIndex index;
  for (auto& [shard, id] : ids) {
    id = index.shards.size();
    index.shards.emplace_back(shard);
  }
  index.shard_ids.reserve(weight_map->size());
  for (const auto& member : *weight_map) {
    index.shard_ids.emplace(member.key(), ids.at(member.value().get_string()));
  }
  return index;
}

// Says what is wrong with a folder that has neither an index nor a model.safetensors.
absl::Status NoShards(const std::string& dir) {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, ListFolder(dir));
  for (const std::string& name : names) {
    if (name.ends_with(kExtension)) {
      return NotFound(
          "%s: there is %s but no %s to say which tensors it should hold", dir, name, kIndexName);
    }
  }
  return NotFound("%s: neither %s nor %s", dir, kIndexName, kSingleName);
}

}  // namespace

absl::StatusOr<ShardIndex> ReadShardIndex(const std::string& dir) {
  const std::string index_path = absl::StrFormat("%s/%s", dir, kIndexName);
  const bool has_single = Exists(absl::StrFormat("%s/%s", dir, kSingleName));
  if (!Exists(index_path)) {
    if (!has_single) {
      return NoShards(dir);
    }
    return ShardIndex{.path = "", .shards = {std::string(kSingleName)}, .shard_ids = {}};
  }
  ASSIGN_OR_RETURN(const boost::json::value json, ParseJsonFile(index_path, kMaxIndexBytes));
  absl::StatusOr<ShardIndex> index = ParseIndex(json);
  if (!index.ok()) {
    return Annotate(index.status(), index_path);
  }
  index->path = index_path;
  if (has_single && !std::binary_search(index->shards.begin(), index->shards.end(), kSingleName)) {
    return InvalidArgument(
        "%s: beside a %s that it does not name: one of them is stale", index_path, kSingleName);
  }
  return index;
}

absl::Status CheckShards(const ShardIndex& index, std::span<const SafetensorsFile> files) {
  if (index.path.empty()) {
    return absl::OkStatus();
  }
  std::unordered_map<std::string_view, size_t> shard_ids;  // by tensor, as the files have it
  shard_ids.reserve(index.shard_ids.size());
  for (size_t id = 0; id < files.size(); ++id) {
    for (const TensorInfo& tensor : files[id].tensors) {
      const auto indexed = index.shard_ids.find(tensor.name);
      if (indexed == index.shard_ids.end()) {
        return InvalidArgument("%s: \"%s\": not in the index", tensor.file, tensor.name);
      }
      if (indexed->second != id) {
        return InvalidArgument("%s: \"%s\": the index says that it is in %s",
                               tensor.file,
                               tensor.name,
                               index.shards[indexed->second]);
      }
      shard_ids.emplace(tensor.name, id);
    }
  }
  for (const auto& [tensor, id] : index.shard_ids) {
    if (!shard_ids.contains(tensor)) {
      return InvalidArgument("%s: \"%s\": not in %s", index.path, tensor, index.shards[id]);
    }
  }
  return absl::OkStatus();
}

}  // namespace hadal
