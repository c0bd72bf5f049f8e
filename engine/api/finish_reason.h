#pragma once

#include <cstdint>
#include <string_view>

namespace hadal {

/// Why a sequence ended; exactly one for each. The first two are the words of the OpenAI API.
enum class FinishReason : int8_t {
  kStop,              // a stop token, or a stop string that the server saw
  kLength,            // max_new_tokens, or the context is full
  kCancelled,         // the caller asked for it, or went away
  kDeadlineExceeded,  // the request's deadline passed
  kFailed,            // its step failed or gave no finite numbers
};

/// "stop", "length", "cancelled", "deadline_exceeded", "failed".
std::string_view NameOf(FinishReason reason);

}  // namespace hadal
