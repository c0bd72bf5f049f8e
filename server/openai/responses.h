#pragma once

// The bodies of responses. One writer for each kind of answer: it is fed ChoiceDeltas, and gives
// out chunks as they come or the whole at the end, so that the two say the same.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/token_id.h"
#include "server/generation/generation_event.h"
#include "server/openai/answer_json.h"
#include "server/openai/chunk_frame.h"
#include "server/openai/logprobs_json.h"
#include "server/openai/requests.h"

namespace hadal {

/// Chunks of a chat completion as server-sent events. One thread.
class ChatChunkWriter {
 public:
  ChatChunkWriter(const AnswerHead& head, const Delivery& delivery, bool with_logprobs);

  /// Appends the events, "data: {…}\n\n" each, that `delta` makes: the first of a choice is
  /// preceded by that of the role; reasoning, content and tool calls each have their own; the last
  /// says the finish_reason. Logprobs stand beside the content of their delta, or beside empty
  /// content where it has none.
  void Append(const ChoiceDelta& delta, std::string& events);

  /// Appends the usage chunk, when it was asked for, and "data: [DONE]\n\n".
  void AppendEnd(const Usage& usage, std::string& events);

 private:
  struct Choice {
    bool begun = false;
    Calls calls = Calls::kNone;
  };

  Choice& Begin(int32_t index, std::string& events);
  void AppendPart(int32_t choice,
                  const AnswerDelta& part,
                  std::span<const ContentLogprob> logprobs,
                  std::string& events);
  size_t Open(int32_t choice, std::string& events);
  void Close(size_t begin, std::span<const ContentLogprob> logprobs, std::string& events);

  std::string id_;
  ChunkFrame frame_;
  bool with_logprobs_;
  std::vector<Choice> choices_;
};

/// A whole chat completion, as JSON. `deltas` are all of it, in order.
std::string ChatCompletionJson(const AnswerHead& head,
                               std::span<const ChoiceDelta> deltas,
                               const Usage& usage,
                               bool with_logprobs);

/// The same two for text completions. Choice p * n + i is the i-th of prompt p. With echo the
/// prompt's text comes first. A delta makes one chunk; it says the finish_reason when it has one.
class CompletionChunkWriter {
 public:
  CompletionChunkWriter(const AnswerHead& head, const Delivery& delivery, bool with_logprobs);

  /// `choice` is the index in the response. Text offsets count characters from the choice's begin.
  void Append(const ChoiceDelta& delta, std::string& events);
  void AppendEcho(int32_t choice, std::string_view prompt, std::string& events);
  void AppendEnd(const Usage& usage, std::string& events);

 private:
  CompletionLogprobs& LogprobsOf(int32_t choice);
  size_t Open(int32_t choice, std::string& events);

  ChunkFrame frame_;
  bool with_logprobs_;
  std::vector<CompletionLogprobs> logprobs_;  // of each choice
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

/// The answer to POST /tokenize. `token_strs`, one for each token, is null when they were not asked
/// for.
std::string TokenizeJson(std::span<const TokenId> tokens,
                         const std::vector<std::string>* token_strs,
                         int64_t max_tokens);

/// The answer to POST /detokenize.
std::string DetokenizeJson(std::string_view text);

}  // namespace hadal
