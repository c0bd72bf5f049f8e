#pragma once

#include <cstdint>

#include "base/status.h"

namespace google::protobuf {
class Message;
}
namespace grpc {
class ByteBuffer;
}

namespace hadal {

/// The most parts that a message may have: messages in it, items of lists of strings, and fields
/// that nobody knows. Each takes some hundred bytes of memory, but only two on the wire.
inline constexpr int64_t kMaxMessageParts = 32'768;

/// Reads `bytes` into `message`. InvalidArgument when they are no such message, hold text that is
/// not UTF-8, or have too many parts, which is found before memory is spent on them. Any thread.
absl::Status ReadMessage(const grpc::ByteBuffer& bytes, google::protobuf::Message& message);

/// Replaces `bytes` by `message`.
void WriteMessage(const google::protobuf::Message& message, grpc::ByteBuffer& bytes);

int64_t NumBytes(const grpc::ByteBuffer& bytes);

}  // namespace hadal
