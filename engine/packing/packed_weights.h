#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/status.h"
#include "base/thread_pool.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/packing/packed_file.h"
#include "engine/packing/packed_layout.h"
#include "engine/packing/packer.h"
#include "kernels/device.h"
#include "kernels/weight_matrix.h"

namespace hadal {

/// The matrices of a checkpoint in panels: from the packed file in a folder when there is one that
/// is of use; otherwise packed now and, when the folder can be written, kept there for the next
/// start. Const after Load; any thread may read.
class PackedWeights {
 public:
  /// Where the matrices are.
  enum class Origin : int8_t {
    kFile,     // in the file that was there
    kNewFile,  // in a file that Load wrote
    kMemory,   // in memory of this process: no file could be written
  };

  /// Whether Load reads all of a file that is there, and so finds what is damaged, or nothing but
  /// its header.
  enum class FileCheck : int8_t { kWhole, kHeader };

  struct Args {
    const Checkpoint& checkpoint;
    WeightPacking packing;  // not kNative
    std::string folder;     // of the file; empty: there is none
    FileCheck check;
    ThreadPool& pool;
    PackProgress progress;  // up to size_bytes()
  };

  /// A file that cannot be used, or not be written, costs one line in the log. The errors of
  /// PackMatrices but for those of files; ResourceExhausted when there is no memory either.
  static absl::StatusOr<PackedWeights> Load(const Args& args);

  /// The matrix of that tensor in panels; null when it is not packed. The head has its own name
  /// also when it is tied to the embedding.
  [[nodiscard]] const WeightMatrix* Find(std::string_view name) const;

  [[nodiscard]] Origin origin() const { return origin_; }
  [[nodiscard]] int64_t size_bytes() const { return size_bytes_; }

 private:
  PackedWeights(const PackedLayout& layout, const std::byte* data, Origin origin);

  static absl::StatusOr<PackedWeights> FromFile(PackedFile file,
                                                const PackedLayout& layout,
                                                Origin origin);
  static absl::StatusOr<PackedWeights> InMemory(const Args& args, const PackedLayout& layout);

  std::unordered_map<std::string, WeightMatrix> matrices_;
  Origin origin_;
  int64_t size_bytes_;
  std::optional<PackedFile> file_;  // one of the two holds the data
  DeviceBuffer buffer_;
};

}  // namespace hadal
