#include "server/grpc/message_buffer.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/message.h>
#include <google/protobuf/wire_format_lite.h>
#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/support/proto_buffer_reader.h>

#include "base/check.h"
#include "base/checked_cast.h"

namespace hadal {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;

enum class Shape : int8_t { kGood, kMalformed, kTooManyParts };

// Walks over a message of `type` without reading it. How deep this goes is bounded by the types,
// which do not contain themselves, and for groups by CodedInputStream.
Shape CheckShape(const Descriptor& type, CodedInputStream& input, int64_t& parts_left) {
  while (const uint32_t tag = input.ReadTag()) {
    const FieldDescriptor* const field =
        type.FindFieldByNumber(WireFormatLite::GetTagFieldNumber(tag));
    const bool is_message = field != nullptr && field->message_type() != nullptr;
    const bool is_listed_text = field != nullptr && field->is_repeated() &&
                                field->cpp_type() == FieldDescriptor::CPPTYPE_STRING;
    if ((field == nullptr || is_message || is_listed_text) && --parts_left < 0) {
      return Shape::kTooManyParts;
    }
    if (!is_message ||
        WireFormatLite::GetTagWireType(tag) != WireFormatLite::WIRETYPE_LENGTH_DELIMITED) {
      if (!WireFormatLite::SkipField(&input, tag)) {
        return Shape::kMalformed;
      }
      continue;
    }
    int num_bytes = 0;
    if (!input.ReadVarintSizeAsInt(&num_bytes)) {
      return Shape::kMalformed;
    }
    const CodedInputStream::Limit limit = input.PushLimit(num_bytes);
    if (const Shape shape = CheckShape(*field->message_type(), input, parts_left);
        shape != Shape::kGood) {
      return shape;
    }
    if (input.BytesUntilLimit() != 0) {
      return Shape::kMalformed;
    }
    input.PopLimit(limit);
  }
  return input.ConsumedEntireMessage() ? Shape::kGood : Shape::kMalformed;
}

}  // namespace

absl::Status ReadMessage(const grpc::ByteBuffer& bytes, google::protobuf::Message& message) {
  const std::string& name = message.GetDescriptor()->full_name();
  // The readers take a pointer, but do not write.
  auto* const buffer = const_cast<grpc::ByteBuffer*>(&bytes);
  {
    grpc::ProtoBufferReader reader(buffer);
    if (!reader.status().ok()) {
      return InvalidArgument("the request cannot be read");
    }
    CodedInputStream input(&reader);
    int64_t parts_left = kMaxMessageParts;
    switch (CheckShape(*message.GetDescriptor(), input, parts_left)) {
      case Shape::kGood:
        break;
      case Shape::kMalformed:
        return InvalidArgument("the request is not a well-formed %s", name);
      case Shape::kTooManyParts:
        return InvalidArgument("the request has more than %d parts", kMaxMessageParts);
    }
  }
  grpc::ProtoBufferReader reader(buffer);
  if (!message.ParseFromZeroCopyStream(&reader)) {
    return InvalidArgument("the request is not a well-formed %s, or holds text that is not UTF-8",
                           name);
  }
  return absl::OkStatus();
}

void WriteMessage(const google::protobuf::Message& message, grpc::ByteBuffer& bytes) {
  bool owns_buffer = false;
  bytes.Clear();
  const grpc::Status status =
      grpc::GenericSerialize<grpc::ProtoBufferWriter, google::protobuf::Message>(
          message, &bytes, &owns_buffer);
  CHECK(status.ok());
}

int64_t NumBytes(const grpc::ByteBuffer& bytes) {
  return CheckedCast<int64_t>(bytes.Length());
}

}  // namespace hadal
