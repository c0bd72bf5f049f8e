#include "server/http/chunked_body.h"

#include <algorithm>

#include <absl/strings/ascii.h>

namespace hadal {
namespace {

constexpr int32_t kMaxDigits = 15;  // so that no size overflows
constexpr int32_t kMaxExtraBytes = 4 << 10;

// -1 when it is none.
int32_t HexDigit(char c) {
  if (c >= '0' && c <= '9') {
    return c - '0';
  }
  const char lower = absl::ascii_tolower(static_cast<unsigned char>(c));
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

bool IsText(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte == '\t' || (byte >= ' ' && byte != 0x7F);
}

}  // namespace

ChunkedBody::State ChunkedBody::state() const {
  switch (at_) {
    case At::kComplete:
      return State::kComplete;
    case At::kMalformed:
      return State::kMalformed;
    default:
      return State::kMore;
  }
}

ChunkedBody::Piece ChunkedBody::Take(std::string_view bytes) {
  size_t position = 0;
  while (position < bytes.size() && state() == State::kMore) {
    if (at_ == At::kData) {
      const std::string_view data = bytes.substr(position, static_cast<size_t>(chunk_size_));
      chunk_size_ -= std::ssize(data);
      at_ = chunk_size_ == 0 ? At::kDataEnd : At::kData;
      return {.num_bytes = position + data.size(), .data = data};
    }
    at_ = Next(bytes[position++]);
  }
  return {.num_bytes = position, .data = {}};
}

// The state behind `c`. Whatever a state does not wait for is malformed.
ChunkedBody::At ChunkedBody::Next(char c) {
  const auto expect = [c](char expected, At next) { return c == expected ? next : At::kMalformed; };
  switch (at_) {
    case At::kSize:
      return NextInSize(c);
    case At::kExtension:
      return c == '\r' ? At::kSizeEnd : IsText(c) ? CountExtra(At::kExtension) : At::kMalformed;
    case At::kSizeEnd:
      return c == '\n' ? BeginChunk() : At::kMalformed;
    case At::kDataEnd:
      return expect('\r', At::kDataEndLine);
    case At::kDataEndLine:
      return expect('\n', At::kSize);
    case At::kTrailerBegin:
      return c == '\r'                ? At::kEndLine
             : c == ':' || !IsText(c) ? At::kMalformed
             : c == ' ' || c == '\t'  ? At::kMalformed
                                      : CountExtra(At::kTrailer);
    case At::kTrailer:
      return c == '\r' ? At::kTrailerEnd : IsText(c) ? CountExtra(At::kTrailer) : At::kMalformed;
    case At::kTrailerEnd:
      return expect('\n', At::kTrailerBegin);
    case At::kEndLine:
      return expect('\n', At::kComplete);
    case At::kData:
    case At::kComplete:
    case At::kMalformed:
      break;
  }
  return At::kMalformed;
}

ChunkedBody::At ChunkedBody::NextInSize(char c) {
  const int32_t digit = HexDigit(c);
  if (digit >= 0) {
    if (++num_digits_ > kMaxDigits) {
      return At::kMalformed;
    }
    chunk_size_ = chunk_size_ * 16 + digit;
    return At::kSize;
  }
  if (num_digits_ == 0) {
    return At::kMalformed;
  }
  return c == '\r' ? At::kSizeEnd : c == ';' ? CountExtra(At::kExtension) : At::kMalformed;
}

ChunkedBody::At ChunkedBody::BeginChunk() {
  num_digits_ = 0;
  if (chunk_size_ == 0) {
    return At::kTrailerBegin;
  }
  return __builtin_add_overflow(num_announced_, chunk_size_, &num_announced_) ? At::kMalformed
                                                                              : At::kData;
}

ChunkedBody::At ChunkedBody::CountExtra(At next) {
  return ++num_extra_bytes_ <= kMaxExtraBytes ? next : At::kMalformed;
}

}  // namespace hadal
