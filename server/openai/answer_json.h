#pragma once

// What chunks and whole responses have in common.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "server/generation/generation_event.h"

namespace hadal {

/// What all chunks of an answer repeat.
struct AnswerHead {
  std::string id;       // "chatcmpl-…", "cmpl-…"
  int64_t created = 0;  // seconds since 1970
  std::string model;
  std::string system_fingerprint;  // empty: null
};

/// Appends `{"id":…,"object":…,"created":…,"model":…,"system_fingerprint":…,"choices":[`.
void AppendHead(const AnswerHead& head, std::string_view object, std::string& json);

/// Appends the object that is the value of `usage`.
void AppendUsage(const Usage& usage, std::string& json);

/// Whether a choice made a complete tool call, which turns "stop" into "tool_calls".
enum class Calls : int8_t { kNone, kMade };

/// Appends the value of `finish_reason`: null for a choice that goes on. Choices that end
/// irregularly are told of as errors; where they are not, they were cut short: "length".
void AppendFinishReason(std::optional<FinishReason> finish, Calls calls, std::string& json);

}  // namespace hadal
