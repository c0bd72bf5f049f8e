#pragma once

#include <cstdint>
#include <string_view>

#include "base/json_fields.h"
#include "base/status.h"
#include "server/generation/generation_params.h"

namespace hadal {

/// Which body is read: each endpoint has fields of its own.
enum class Endpoint : int8_t { kChat, kCompletion, kTokenize, kDetokenize };

/// Checks the outermost fields of a body against the table of all fields that the OpenAI API and
/// the extensions of vLLM and SGLang have: InvalidArgument for one that is in no table, and for one
/// without effect whose type or size is wrong; Unimplemented for one that would change the answer
/// in a way that is not supported. Fields that have a reader are left to it.
absl::Status CheckFields(Endpoint endpoint, const JsonFields& body, const GenerationLimits& limits);

/// InvalidArgument `path: at most <max> <unit> are allowed, found <found>`, when they are more.
absl::Status CheckAtMost(std::string_view path, int64_t max, std::string_view unit, size_t found);

}  // namespace hadal
