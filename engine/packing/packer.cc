#include "engine/packing/packer.h"

#include <algorithm>
#include <string>
#include <vector>

#include "engine/checkpoint/stored_matrix.h"
#include "engine/packing/checksum.h"
#include "engine/packing/kv_up_part.h"
#include "kernels/device.h"
#include "kernels/quantization/panels.h"

namespace hadal {
namespace {

// Pieces between two reports of progress.
constexpr int64_t kRunPieces = 64;

// Calls `body(piece, worker)` for all pieces, and reports progress after each run of them.
template <typename Body>
absl::Status ForEachRun(const PackedLayout& layout, PackProgress progress, Body body) {
  const int64_t num_pieces = std::ssize(layout.pieces);
  for (int64_t begin = 0; begin < num_pieces; begin += kRunPieces) {
    const int64_t end = std::min(begin + kRunPieces, num_pieces);
    RETURN_IF_ERROR(body(begin, end));
    const PackedPiece& last = layout.pieces[static_cast<size_t>(end - 1)];
    progress(last.offset + last.size_bytes);
  }
  return absl::OkStatus();
}

uint64_t ChecksumOf(const std::vector<uint64_t>& checksums) {
  return Checksum(std::as_bytes(std::span(checksums)));
}

class Packer {
 public:
  explicit Packer(const PackArgs& args)
      : args_(args),
        workers_(static_cast<size_t>(args.pool.num_threads())),
        checksums_(args.layout.pieces.size()) {
    size_t most_bytes = 0;
    size_t most_cols = 0;
    for (const PackedPiece& piece : args.layout.pieces) {
      most_bytes = std::max(most_bytes, static_cast<size_t>(piece.size_bytes));
    }
    for (const PackedMatrix& matrix : args.layout.matrices) {
      most_cols = std::max(most_cols, static_cast<size_t>(matrix.cols));
    }
    for (Worker& worker : workers_) {
      worker.packed.resize(most_bytes);
      worker.row.resize(most_cols);
    }
  }

  absl::StatusOr<uint64_t> Pack() {
    RETURN_IF_ERROR(ForEachRun(args_.layout, args_.progress, [this](int64_t begin, int64_t end) {
      return PackRun(begin, end);
    }));
    return ChecksumOf(checksums_);
  }

 private:
  struct Worker {
    std::vector<std::byte> packed;  // a piece
    std::vector<float> row;
  };

  // Pieces [begin, end).
  absl::Status PackRun(int64_t begin, int64_t end) {
    const int64_t first_matrix = PieceAt(begin).matrix;
    std::vector<DeviceBuffer> copies;  // only as long as they are needed
    std::vector<WeightMatrix> sources;
    for (int64_t i = first_matrix; i <= PieceAt(end - 1).matrix; ++i) {
      const PackedMatrix& matrix = MatrixAt(i);
      ASSIGN_OR_RETURN(WeightMatrix source, StoredMatrix(args_.checkpoint, matrix.source, copies));
      if (matrix.part != PackedPart::kWhole) {
        ASSIGN_OR_RETURN(source, KvUpPart(source, matrix.part, args_.checkpoint.config(), copies));
      }
      sources.push_back(source);
    }
    std::vector<absl::Status> statuses(static_cast<size_t>(end - begin));
    args_.pool.ParallelFor(
        end - begin, 1, [&](int64_t piece_begin, int64_t piece_end, int32_t worker) {
          for (int64_t i = piece_begin; i < piece_end; ++i) {
            const PackedPiece& piece = PieceAt(begin + i);
            statuses[static_cast<size_t>(i)] =
                PackPiece(piece,
                          sources[static_cast<size_t>(piece.matrix - first_matrix)],
                          workers_[static_cast<size_t>(worker)],
                          checksums_[static_cast<size_t>(begin + i)]);
          }
        });
    for (const absl::Status& status : statuses) {
      RETURN_IF_ERROR(status);
    }
    return absl::OkStatus();
  }

  absl::Status PackPiece(const PackedPiece& piece,
                         const WeightMatrix& source,
                         Worker& worker,
                         uint64_t& checksum) const {
    const PackedMatrix& matrix = MatrixAt(piece.matrix);
    const std::span<std::byte> packed =
        std::span(worker.packed).first(static_cast<size_t>(piece.size_bytes));
    for (int64_t i = 0; i < piece.num_panels; ++i) {
      if (!QuantizePanel(source,
                         piece.first_panel + i,
                         matrix.format,
                         worker.row.data(),
                         packed.data() + i * matrix.panel_bytes())) {
        return InvalidArgument("%s: weights that are not finite cannot be packed", matrix.source);
      }
    }
    checksum = Checksum(packed);
    return args_.sink(piece.offset, packed);
  }

  [[nodiscard]] const PackedPiece& PieceAt(int64_t i) const {
    return args_.layout.pieces[static_cast<size_t>(i)];
  }
  [[nodiscard]] const PackedMatrix& MatrixAt(int64_t i) const {
    return args_.layout.matrices[static_cast<size_t>(i)];
  }

  const PackArgs& args_;
  std::vector<Worker> workers_;
  std::vector<uint64_t> checksums_;  // of the pieces
};

}  // namespace

absl::StatusOr<uint64_t> PackMatrices(const PackArgs& args) {
  return Packer(args).Pack();
}

uint64_t ChecksumOfPacked(const PackedLayout& layout,
                          const std::byte* data,
                          ThreadPool& pool,
                          PackProgress progress) {
  std::vector<uint64_t> checksums(layout.pieces.size());
  const absl::Status status = ForEachRun(layout, progress, [&](int64_t begin, int64_t end) {
    pool.ParallelFor(end - begin, 1, [&](int64_t from, int64_t to, int32_t /*worker*/) {
      for (int64_t i = begin + from; i < begin + to; ++i) {
        const PackedPiece& piece = layout.pieces[static_cast<size_t>(i)];
        checksums[static_cast<size_t>(i)] =
            Checksum({data + piece.offset, static_cast<size_t>(piece.size_bytes)});
      }
    });
    return absl::OkStatus();
  });
  CHECK(status.ok());
  return ChecksumOf(checksums);
}

}  // namespace hadal
