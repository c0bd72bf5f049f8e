#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace hadal {

/// Takes the chunked transfer coding (RFC 9112, 7.1) off a body while its bytes arrive, in any
/// pieces. Chunk extensions and trailers are checked, bounded and dropped. Takes time in proportion
/// to the bytes and holds none of them.
///
/// It stands in place of Beast's parser, which needs a chunk's line and all trailers in one piece
/// and has an assertion that a last chunk which arrives byte by byte breaks.
class ChunkedBody {
 public:
  enum class State { kMore, kComplete, kMalformed };

  struct Piece {
    size_t num_bytes = 0;   // taken from the front of what was given
    std::string_view data;  // those of them that are body; a part of what was given
  };

  /// Takes what leads up to data and the data, or all that there is. To be called until all bytes
  /// are taken or the state is no longer kMore; behind the end nothing is taken.
  Piece Take(std::string_view bytes);

  [[nodiscard]] State state() const;

  /// Bytes of body so far, with all those of the chunk that has begun: known before they come. Up
  /// to 2^63 - 1.
  [[nodiscard]] int64_t num_announced() const { return num_announced_; }

 private:
  enum class At {
    kSize,
    kExtension,
    kSizeEnd,  // behind the CR of a chunk's line
    kData,
    kDataEnd,  // the CRLF behind data
    kDataEndLine,
    kTrailerBegin,
    kTrailer,
    kTrailerEnd,
    kEndLine,  // behind the CR of the empty line that ends all
    kComplete,
    kMalformed,
  };

  At Next(char c);
  At NextInSize(char c);
  At BeginChunk();
  At CountExtra(At next);

  At at_ = At::kSize;
  int64_t chunk_size_ = 0;       // of the line that is being read; then what is left of the chunk
  int32_t num_digits_ = 0;       // of chunk_size_
  int32_t num_extra_bytes_ = 0;  // of extensions and trailers
  int64_t num_announced_ = 0;
};

}  // namespace hadal
