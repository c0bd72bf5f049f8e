#include "engine/checkpoint/checkpoint.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/checked_cast.h"
#include "engine/checkpoint/shard_index.h"
#include "engine/checkpoint/weight_map.h"

namespace hadal {
namespace {

absl::StatusOr<std::vector<SafetensorsFile>> OpenShards(const std::string& dir) {
  ASSIGN_OR_RETURN(const ShardIndex index, ReadShardIndex(dir));
  std::vector<SafetensorsFile> files;
  files.reserve(index.shards.size());
  for (const std::string& shard : index.shards) {
    ASSIGN_OR_RETURN(SafetensorsFile file,
                     SafetensorsFile::Open(absl::StrFormat("%s/%s", dir, shard)));
    files.push_back(std::move(file));
  }
  RETURN_IF_ERROR(CheckShards(index, files));
  return files;
}

// Whether MTP tensors are expected and not a single one is there, as transformers leaves it: it
// drops the tensors and keeps the config's key.
bool IsMtpDropped(const ModelConfig& config,
                  const std::vector<ExpectedTensor>& expected,
                  const TensorsByName& tensors) {
  return config.num_nextn_predict_layers > 0 &&
         std::none_of(expected.begin(), expected.end(), [&](const ExpectedTensor& tensor) {
           return tensor.layer >= config.num_hidden_layers && tensors.contains(tensor.name);
         });
}

}  // namespace

absl::StatusOr<Checkpoint> Checkpoint::Open(const std::string& dir) {
  if (!IsFolder(dir)) {
    return NotFound("%s: no such folder", dir);
  }
  Checkpoint checkpoint;
  checkpoint.dir_ = dir;
  ASSIGN_OR_RETURN(checkpoint.config_, ReadModelConfig(dir));
  ASSIGN_OR_RETURN(std::vector<SafetensorsFile> shards, OpenShards(dir));
  for (SafetensorsFile& shard : shards) {
    checkpoint.files_.push_back(std::move(shard.file));
    for (TensorInfo& tensor : shard.tensors) {
      if (!IsIgnoredTensor(tensor.name)) {
        checkpoint.total_bytes_ += CheckedCast<int64_t>(tensor.data.size());
        checkpoint.tensors_.push_back(std::move(tensor));
      }
    }
  }
  checkpoint.tensors_by_name_.reserve(checkpoint.tensors_.size());
  for (const TensorInfo& tensor : checkpoint.tensors_) {
    checkpoint.tensors_by_name_.emplace(tensor.name, &tensor);
  }

  std::vector<ExpectedTensor> expected = ListExpectedTensors(checkpoint.config_);
  if (IsMtpDropped(checkpoint.config_, expected, checkpoint.tensors_by_name_)) {
    checkpoint.mtp_dropped_ = true;
    checkpoint.config_.num_nextn_predict_layers = 0;
    expected = ListExpectedTensors(checkpoint.config_);
  }
  const absl::Status status = CheckTensors(expected, checkpoint.tensors_by_name_);
  if (!status.ok()) {
    return Annotate(status, dir);
  }
  return checkpoint;
}

const TensorInfo* Checkpoint::Find(std::string_view name) const {
  const auto found = tensors_by_name_.find(name);
  return found == tensors_by_name_.end() ? nullptr : found->second;
}

const TensorInfo& Checkpoint::Get(std::string_view name) const {
  const TensorInfo* const tensor = Find(name);
  CHECK(tensor != nullptr);
  return *tensor;
}

}  // namespace hadal
