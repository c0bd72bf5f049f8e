#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/mapped_file.h"
#include "base/status.h"
#include "engine/checkpoint/model_config.h"
#include "engine/checkpoint/safetensors_file.h"
#include "engine/checkpoint/tensor_check.h"

namespace hadal {

/// A published checkpoint folder: config.json and *.safetensors, all checked against the tensors
/// that the config asks for, nothing copied. Tensor data is mapped and read when touched (block
/// scales are read by Open). Const after Open; any thread may read.
///
///   ASSIGN_OR_RETURN(const Checkpoint checkpoint, Checkpoint::Open("/models/DeepSeek-V3"));
///   const TensorInfo& norm = checkpoint.Get("model.norm.weight");
class Checkpoint {
 public:
  /// Opens `dir`, which holds either model.safetensors.index.json and the shards it names, or one
  /// model.safetensors. NotFound for a missing folder or file; InvalidArgument for a damaged file
  /// and for tensors that are missing, unknown, of the wrong shape or dtype, fp8 without scale or
  /// the reverse, or scales that are NaN, infinite or negative; Unimplemented for experts fused
  /// into one tensor. Messages name file and tensor, what was expected and what was found.
  static absl::StatusOr<Checkpoint> Open(const std::string& dir);

  [[nodiscard]] const std::string& dir() const { return dir_; }

  /// The config, with num_nextn_predict_layers 0 when the checkpoint holds no MTP tensors.
  [[nodiscard]] const ModelConfig& config() const { return config_; }

  /// True when config.json announces MTP layers that the files do not hold.
  [[nodiscard]] bool mtp_dropped() const { return mtp_dropped_; }

  /// The tensor, or null.
  [[nodiscard]] const TensorInfo* Find(std::string_view name) const;

  /// REQUIRES: the tensor is there; Open ensures it for all that the config asks for.
  [[nodiscard]] const TensorInfo& Get(std::string_view name) const;

  /// All tensors that the model uses, by file and place in it.
  [[nodiscard]] const std::vector<TensorInfo>& tensors() const { return tensors_; }

  /// The safetensors files, in rising order of their names.
  [[nodiscard]] const std::vector<MappedFile>& files() const { return files_; }

  /// Data bytes of tensors().
  [[nodiscard]] int64_t total_bytes() const { return total_bytes_; }

 private:
  Checkpoint() = default;

  std::string dir_;
  ModelConfig config_;
  bool mtp_dropped_ = false;
  std::vector<MappedFile> files_;  // hold the bytes of tensors_
  std::vector<TensorInfo> tensors_;
  TensorsByName tensors_by_name_;  // points into tensors_
  int64_t total_bytes_ = 0;
};

}  // namespace hadal
