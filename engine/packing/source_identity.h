#pragma once

#include <string>

#include "base/status.h"
#include "engine/checkpoint/checkpoint.h"

namespace hadal {

/// A text that is another one when the files of `checkpoint` are others: made from config.json,
/// and from the name, size, time of writing (in seconds, which archives and images keep), header
/// and some samples of each safetensors file. Their data is not read as a whole. Errors are those
/// of reading config.json.
absl::StatusOr<std::string> SourceIdentity(const Checkpoint& checkpoint);

}  // namespace hadal
