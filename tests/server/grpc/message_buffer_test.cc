#include "server/grpc/message_buffer.h"

#include <google/protobuf/stubs/logging.h>
#include <google/protobuf/util/message_differencer.h>
#include <grpcpp/support/byte_buffer.h>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "proto/hadal/v1/inference.pb.h"

namespace hadal {
namespace {

using google::protobuf::util::MessageDifferencer;
using testing::HasSubstr;

// In slices of up to `slice_bytes`.
grpc::ByteBuffer BufferOf(const std::string& bytes, size_t slice_bytes) {
  std::vector<grpc::Slice> slices;
  for (size_t begin = 0; begin < bytes.size(); begin += slice_bytes) {
    slices.emplace_back(bytes.substr(begin, slice_bytes));
  }
  return {slices.data(), slices.size()};
}

// The bytes of field `number` with `content`.
std::string Nested(int32_t number, const std::string& content) {
  std::string bytes;
  bytes.push_back(static_cast<char>(number * 8 + 2));
  for (size_t size = content.size();; size >>= 7) {
    bytes.push_back(static_cast<char>((size & 0x7fU) | (size > 0x7f ? 0x80U : 0U)));
    if (size <= 0x7f) {
      break;
    }
  }
  bytes.append(content);
  return bytes;
}

v1::ChatRequest Conversation() {
  v1::ChatRequest request;
  request.set_request_id("id");
  for (int32_t i = 0; i < 10; ++i) {
    v1::Message& message = *request.mutable_conversation()->add_messages();
    message.set_role(v1::ROLE_ASSISTANT);
    message.set_content(std::string(50, 'x'));
    message.add_tool_calls()->set_name("f");
  }
  request.mutable_params()->add_stop("x");
  request.mutable_params()->set_temperature(0.5);
  return request;
}

TEST(MessageBufferTest, WhatIsWrittenIsReadAgain) {
  const v1::ChatRequest request = Conversation();
  grpc::ByteBuffer buffer;
  WriteMessage(request, buffer);
  EXPECT_EQ(NumBytes(buffer), static_cast<int64_t>(request.ByteSizeLong()));
  v1::ChatRequest read;
  ASSERT_TRUE(ReadMessage(buffer, read).ok());
  EXPECT_TRUE(MessageDifferencer::Equals(read, request));
  WriteMessage(v1::CancelRequest(), buffer);
  EXPECT_EQ(NumBytes(buffer), 0);
  v1::CancelRequest empty;
  EXPECT_TRUE(ReadMessage(buffer, empty).ok());
}

TEST(MessageBufferTest, ReadsSlicesOfAnySize) {
  const v1::ChatRequest request = Conversation();
  for (const size_t slice_bytes : {1, 2, 3, 7, 64}) {
    v1::ChatRequest read;
    ASSERT_TRUE(ReadMessage(BufferOf(request.SerializeAsString(), slice_bytes), read).ok());
    EXPECT_TRUE(MessageDifferencer::Equals(read, request));
  }
}

TEST(MessageBufferTest, RefusesEveryMessageThatIsCutOff) {
  const v1::ChatRequest request = Conversation();
  const std::string bytes = request.SerializeAsString();
  int64_t num_refused = 0;
  for (size_t size = 0; size < bytes.size(); ++size) {
    v1::ChatRequest read;
    const absl::Status status = ReadMessage(BufferOf(bytes.substr(0, size), 16), read);
    // Between two fields of the outermost message, what is cut off is not missed.
    if (!status.ok()) {
      EXPECT_TRUE(absl::IsInvalidArgument(status)) << size;
      EXPECT_THAT(std::string(status.message()), HasSubstr("hadal.v1.ChatRequest"));
      ++num_refused;
    }
  }
  EXPECT_EQ(num_refused, std::ssize(bytes) - 3);
}

TEST(MessageBufferTest, RefusesWhatIsNoMessage) {
  for (const std::string& bytes : {std::string("\x00", 1),             // field 0
                                   std::string("\x0f"),                // wire type 7
                                   std::string("\x0c"),                // end of no group
                                   std::string("\x1a\x05\x0a\x04xx"),  // longer than what holds it
                                   std::string("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")}) {
    v1::ChatRequest read;
    EXPECT_TRUE(absl::IsInvalidArgument(ReadMessage(BufferOf(bytes, 64), read)));
  }
}

TEST(MessageBufferTest, RefusesTextThatIsNotUtf8) {
  google::protobuf::LogHandler* const handler = google::protobuf::SetLogHandler(nullptr);
  for (const char* text : {"\xff", "a\xc3", "\xed\xa0\x80"}) {
    const std::string bytes =
        std::string("\x0a") + static_cast<char>(std::string(text).size()) + text;
    v1::CancelRequest read;
    const absl::Status status = ReadMessage(BufferOf(bytes, 64), read);
    EXPECT_TRUE(absl::IsInvalidArgument(status));
    EXPECT_THAT(std::string(status.message()), HasSubstr("UTF-8"));
  }
  google::protobuf::SetLogHandler(handler);
}

// `count` times the same field.
std::string Repeated(const std::string& field, int64_t count) {
  std::string bytes;
  for (int64_t i = 0; i < count; ++i) {
    bytes += field;
  }
  return bytes;
}

TEST(MessageBufferTest, CountsPartsBeforeTheyTakeMemory) {
  const auto status_of = [](const std::string& bytes) {
    v1::ChatRequest read;
    return ReadMessage(BufferOf(bytes, 4096), read);
  };
  const std::string message = Nested(1, "");    // of a conversation
  const std::string tool_call = Nested(4, "");  // of a message
  const std::string stop = Nested(13, "");      // of params
  // The conversation or the params are a part themselves.
  EXPECT_TRUE(status_of(Nested(3, Repeated(message, kMaxMessageParts - 1))).ok());
  EXPECT_FALSE(status_of(Nested(3, Repeated(message, kMaxMessageParts))).ok());
  EXPECT_TRUE(status_of(Nested(4, Repeated(stop, kMaxMessageParts - 1))).ok());
  EXPECT_FALSE(status_of(Nested(4, Repeated(stop, kMaxMessageParts))).ok());
  const std::string calls = Repeated(tool_call, kMaxMessageParts / 2);
  EXPECT_TRUE(status_of(Nested(3, Nested(1, calls))).ok());
  EXPECT_FALSE(status_of(Nested(3, Repeated(Nested(1, calls), 2))).ok());
  // Unknown ones, as numbers, texts and groups.
  for (const std::string& unknown :
       {Nested(15, ""), std::string("\x78\x01"), std::string("\x7b\x7c")}) {
    EXPECT_TRUE(status_of(Repeated(unknown, kMaxMessageParts)).ok());
    EXPECT_FALSE(status_of(Repeated(unknown, kMaxMessageParts + 1)).ok());
  }
}

TEST(MessageBufferTest, NumbersAreNoParts) {
  v1::DetokenizeRequest request;
  request.mutable_tokens()->Resize(1 << 20, 1);
  v1::DetokenizeRequest read;
  EXPECT_TRUE(ReadMessage(BufferOf(request.SerializeAsString(), 4096), read).ok());
  EXPECT_EQ(read.tokens_size(), 1 << 20);
}

}  // namespace
}  // namespace hadal
