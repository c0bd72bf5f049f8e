#pragma once

#include <utility>

#include "base/status.h"

namespace hadal {

/// What the program returns. 78 is EX_CONFIG of sysexits.h.
enum class ExitCode : int {
  kOk = 0,
  kFailure = 1,         // something went wrong while running
  kUsage = 2,           // flags or input that the user can mend
  kBadCheckpoint = 78,  // a checkpoint or configuration that cannot be used
};

/// `status` as a fault of the checkpoint: the program will return kBadCheckpoint, unless the status
/// says that memory ran out or Hadal itself is at fault.
absl::Status CheckpointFault(absl::Status status);

template <typename T>
absl::StatusOr<T> CheckpointFault(absl::StatusOr<T> value) {
  if (value.ok()) {
    return value;
  }
  return CheckpointFault(std::move(value).status());
}

/// Prints "hadal: error: message" to stderr when `status` is not OK, and says what to return: what
/// CheckpointFault marked is that; other errors about arguments and input are the user's to mend.
ExitCode Finish(const absl::Status& status);

}  // namespace hadal
