#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "server/openai/answer_json.h"
#include "server/openai/requests.h"

namespace hadal {

/// What is equal in all chunks of a stream, written once: each is a server-sent event, `data: {…}`
/// and an empty line. One thread.
///
/// With Delivery::include_obfuscation each chunk gets a field `obfuscation` of random letters,
/// which fills the event up to 512, 2048, 8192 or a multiple of 32768 bytes: whoever sees the
/// sizes of encrypted records learns little of the tokens in them.
class ChunkFrame {
 public:
  ChunkFrame(const AnswerHead& head, std::string_view object, const Delivery& delivery);

  /// Appends all that stands before the first choice, and returns where the event begins.
  size_t Begin(std::string& events) const;

  /// Appends what stands behind the last choice of the event that begins at `begin`.
  void End(size_t begin, std::string& events);

  /// Appends the chunk with the usage, when it was asked for, and `data: [DONE]`.
  void AppendEnd(const Usage& usage, std::string& events);

 private:
  void Close(size_t begin, std::string& events);

  std::string prefix_;
  Delivery delivery_;
  uint64_t random_;
};

}  // namespace hadal
