#pragma once

#include <string_view>

#include "base/status.h"

namespace hadal {

/// What the program returns. 78 is EX_CONFIG of sysexits.h.
enum class ExitCode : int {
  kOk = 0,
  kFailure = 1,         // something went wrong while running
  kUsage = 2,           // flags or input that the user can mend
  kBadCheckpoint = 78,  // a checkpoint or configuration that cannot be used
};

/// Prints "hadal: error: message" to stderr and returns `code`.
ExitCode Fail(ExitCode code, const absl::Status& status);

/// Fail with the code that fits a failure while running: bad input is the user's to mend.
ExitCode FailRunning(const absl::Status& status);

}  // namespace hadal
