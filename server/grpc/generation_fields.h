#pragma once

#include <chrono>
#include <optional>
#include <string_view>

#include "base/clock.h"
#include "base/status.h"
#include "server/generation/generation_params.h"

namespace hadal::v1 {
class GenerationParams;
}

namespace hadal {

/// What a message says of a generation: all but parallel_tool_calls and timeout, which are not in
/// it. Ranges are those of the OpenAI codec. InvalidArgument, beginning with the path of the field,
/// as in "params.temperature: ...".
absl::StatusOr<GenerationParams> ReadGenerationParams(const v1::GenerationParams& message,
                                                      const GenerationLimits& limits);

/// The time that the deadline of a call leaves; nothing when it has none, or one that is so far
/// away that the server's own limit comes first. DeadlineExceeded when it has passed.
absl::StatusOr<std::optional<Duration>> TimeLeft(std::chrono::system_clock::time_point deadline,
                                                 std::chrono::system_clock::time_point now,
                                                 const GenerationLimits& limits);

/// Whether `id` is of 1 to 64 letters, digits, '.', '_' and '-'.
bool IsRequestId(std::string_view id);

}  // namespace hadal
