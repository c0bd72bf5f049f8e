#include "server/cli/exit_code.h"

#include <cstdio>
#include <string>

namespace hadal {

ExitCode Fail(ExitCode code, const absl::Status& status) {
  std::fprintf(stderr, "hadal: error: %s\n", std::string(MessageOf(status)).c_str());
  return code;
}

ExitCode FailRunning(const absl::Status& status) {
  const bool mendable = status.code() == absl::StatusCode::kInvalidArgument ||
                        status.code() == absl::StatusCode::kOutOfRange ||
                        status.code() == absl::StatusCode::kNotFound;
  return Fail(mendable ? ExitCode::kUsage : ExitCode::kFailure, status);
}

}  // namespace hadal
