#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"

namespace hadal {

/// `eos_token_id` of `dir`/generation_config.json, one or a list: the tokens that end an answer,
/// which some checkpoints list there alone. Empty when file or key is missing. InvalidArgument,
/// naming the file, when malformed.
absl::StatusOr<std::vector<int32_t>> ReadGenerationEosTokenIds(const std::string& dir);

}  // namespace hadal
