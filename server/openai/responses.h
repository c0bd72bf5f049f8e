#pragma once

// The bodies of responses. One writer for each kind of answer: it is fed ChoiceDeltas, and gives
// out chunks as they come or the whole at the end, so that the two say the same.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "server/generation/generation_event.h"
#include "server/openai/requests.h"

namespace hadal {

/// What all chunks of an answer repeat.
struct AnswerHead {
  std::string id;       // "chatcmpl-…", "cmpl-…"
  int64_t created = 0;  // seconds since 1970
  std::string model;
  std::string system_fingerprint;
};

/// Chunks of a chat completion as server-sent events. One thread.
class ChatChunkWriter {
 public:
  ChatChunkWriter(AnswerHead head, const Delivery& delivery, bool with_logprobs);

  /// Appends the events, "data: {…}\n\n" each, that `delta` makes: the first of a choice is
  /// preceded by that of the role; reasoning, content and tool calls each have their own; the last
  /// says the finish_reason.
  void Append(const ChoiceDelta& delta, std::string& events);

  /// Appends the usage chunk, when it was asked for, and "data: [DONE]\n\n".
  void AppendEnd(const Usage& usage, std::string& events);

 private:
  struct Choice {
    bool begun = false;
    int32_t num_calls = 0;
  };

  void AppendChunk(int32_t choice, std::string_view rest, std::string& events);

  std::string prefix_;  // of every chunk, up to "choices":[
  std::string suffix_;  // of every chunk, behind the choices
  std::string call_id_prefix_;
  Delivery delivery_;
  bool with_logprobs_;
  std::vector<Choice> choices_;
};

/// A whole chat completion, as JSON. `deltas` are all of it, in order.
std::string ChatCompletionJson(const AnswerHead& head,
                               std::span<const ChoiceDelta> deltas,
                               const Usage& usage,
                               bool with_logprobs);

/// The same two for text completions. Choice p * n + i is the i-th of prompt p. With echo the
/// prompt's text comes first.
class CompletionChunkWriter {
 public:
  CompletionChunkWriter(AnswerHead head, const Delivery& delivery, bool with_logprobs);

  /// `choice` is the index in the response. Text offsets count characters from the choice's begin.
  void Append(const ChoiceDelta& delta, std::string& events);
  void AppendEcho(int32_t choice, std::string_view prompt, std::string& events);
  void AppendEnd(const Usage& usage, std::string& events);

 private:
  std::string prefix_;
  std::string suffix_;
  Delivery delivery_;
  bool with_logprobs_;
  std::vector<int64_t> num_characters_;  // of each choice so far
};

std::string CompletionJson(const AnswerHead& head,
                           std::span<const ChoiceDelta> deltas,
                           std::span<const std::string> echoes,  // of each choice; or empty
                           const Usage& usage,
                           bool with_logprobs);

/// An event that says that a stream failed: "data: {"error":…}\n\n".
std::string ErrorEvent(const absl::Status& status);

/// {"object":"list","data":[…]} and one of its entries.
std::string ModelListJson(std::span<const std::string> names, int64_t created, int64_t max_tokens);
std::string ModelJson(std::string_view name, int64_t created, int64_t max_tokens);

}  // namespace hadal
