#include "engine/packing/packed_weights.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/log.h"
#include "engine/packing/replacement_file.h"
#include "engine/packing/source_identity.h"

namespace hadal {
namespace {

// The file at `path`, if it is all that it must be.
absl::StatusOr<PackedFile> OpenChecked(const std::string& path,
                                       const PackedFileSpec& spec,
                                       const PackedWeights::Args& args) {
  ASSIGN_OR_RETURN(PackedFile file, PackedFile::Open(path, spec));
  if (args.check == PackedWeights::FileCheck::kWhole &&
      ChecksumOfPacked(spec.layout, file.data, args.pool, args.progress) != file.checksum) {
    return InvalidArgument("%s: its data is damaged", path);
  }
  return file;
}

// Packs into a file at `path`. Unavailable when it cannot be written, or not be read again.
absl::StatusOr<PackedFile> WriteFile(const std::string& path,
                                     const PackedFileSpec& spec,
                                     const PackedWeights::Args& args) {
  const auto data_begin = static_cast<int64_t>(PackedFileHeader(spec, 0).size());
  ASSIGN_OR_RETURN(ReplacementFile file,
                   ReplacementFile::Create(path, data_begin + spec.layout.total_bytes));
  const auto sink = [&](int64_t offset, std::span<const std::byte> bytes) {
    return file.WriteAt(data_begin + offset, bytes);
  };
  ASSIGN_OR_RETURN(const uint64_t checksum,
                   PackMatrices({.checkpoint = args.checkpoint,
                                 .layout = spec.layout,
                                 .pool = args.pool,
                                 .sink = sink,
                                 .progress = args.progress}));
  const std::string header = PackedFileHeader(spec, checksum);
  RETURN_IF_ERROR(file.WriteAt(0, std::as_bytes(std::span(header))));
  RETURN_IF_ERROR(file.Commit());
  absl::StatusOr<PackedFile> written = PackedFile::Open(path, spec);
  if (!written.ok()) {
    return Unavailable("%s", MessageOf(written.status()));
  }
  return written;
}

void Warn(const absl::Status& reason, const char* consequence) {
  Log(LogLevel::kWarning, absl::StrFormat("%s: %s", MessageOf(reason), consequence));
}

}  // namespace

PackedWeights::PackedWeights(const PackedLayout& layout, const std::byte* data, Origin origin)
    : origin_(origin), size_bytes_(layout.total_bytes) {
  matrices_.reserve(layout.matrices.size());
  for (const PackedMatrix& matrix : layout.matrices) {
    matrices_.emplace(matrix.name,
                      WeightMatrix{.format = matrix.format,
                                   .rows = matrix.rows,
                                   .cols = matrix.cols,
                                   .payload = data + matrix.offset});
  }
}

absl::StatusOr<PackedWeights> PackedWeights::FromFile(PackedFile file,
                                                      const PackedLayout& layout,
                                                      Origin origin) {
  PackedWeights weights(layout, file.data, origin);
  weights.file_ = std::move(file);
  return weights;
}

absl::StatusOr<PackedWeights> PackedWeights::InMemory(const Args& args,
                                                      const PackedLayout& layout) {
  ASSIGN_OR_RETURN(DeviceBuffer buffer,
                   DeviceBuffer::Allocate(CpuDevice(), static_cast<size_t>(layout.total_bytes)));
  auto* const data = static_cast<std::byte*>(buffer.data());
  const auto sink = [data](int64_t offset, std::span<const std::byte> bytes) {
    std::memcpy(data + offset, bytes.data(), bytes.size());
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(PackMatrices({.checkpoint = args.checkpoint,
                                .layout = layout,
                                .pool = args.pool,
                                .sink = sink,
                                .progress = args.progress})
                      .status());
  PackedWeights weights(layout, data, Origin::kMemory);
  weights.buffer_ = std::move(buffer);
  return weights;
}

absl::StatusOr<PackedWeights> PackedWeights::Load(const Args& args) {
  const PackedLayout layout = MakePackedLayout(args.checkpoint.config(), args.packing);
  // What begins again, since the file turned out damaged or the disk full, reports no less than
  // before.
  int64_t most_bytes = 0;
  const auto progress = [&](int64_t done_bytes) {
    most_bytes = std::max(most_bytes, done_bytes);
    args.progress(most_bytes);
  };
  const Args rising = {.checkpoint = args.checkpoint,
                       .packing = args.packing,
                       .folder = args.folder,
                       .check = args.check,
                       .pool = args.pool,
                       .progress = progress};
  if (args.folder.empty()) {
    return InMemory(rising, layout);
  }
  ASSIGN_OR_RETURN(const std::string identity, SourceIdentity(args.checkpoint));
  const PackedFileSpec spec = {.layout = layout, .packing = args.packing, .identity = identity};
  const std::string path = PackedFilePath(args.folder, args.packing);
  absl::StatusOr<PackedFile> file = OpenChecked(path, spec, rising);
  if (file.ok()) {
    return FromFile(*std::move(file), layout, Origin::kFile);
  }
  if (!absl::IsNotFound(file.status())) {
    Warn(file.status(), "the weights are packed again");
  }
  absl::StatusOr<PackedFile> written = WriteFile(path, spec, rising);
  if (written.ok()) {
    Log(LogLevel::kInfo, "packed weights are kept in " + path);
    return FromFile(*std::move(written), layout, Origin::kNewFile);
  }
  if (!absl::IsUnavailable(written.status())) {
    return written.status();
  }
  Warn(written.status(), "packed weights are kept in memory alone, and made again at each start");
  return InMemory(rising, layout);
}

const WeightMatrix* PackedWeights::Find(std::string_view name) const {
  const auto found = matrices_.find(std::string(name));
  return found == matrices_.end() ? nullptr : &found->second;
}

}  // namespace hadal
