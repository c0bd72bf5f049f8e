#include "server/cli/exit_code.h"

#include <cstdio>
#include <string>

#include <absl/strings/cord.h>

namespace hadal {
namespace {

constexpr const char* kCheckpointFault = "hadal.checkpoint_fault";

}  // namespace

absl::Status CheckpointFault(absl::Status status) {
  if (!absl::IsResourceExhausted(status) && !absl::IsInternal(status)) {
    status.SetPayload(kCheckpointFault, absl::Cord());  // OK statuses ignore payloads
  }
  return status;
}

ExitCode Finish(const absl::Status& status) {
  if (status.ok()) {
    return ExitCode::kOk;
  }
  std::fprintf(stderr, "hadal: error: %s\n", std::string(MessageOf(status)).c_str());
  if (status.GetPayload(kCheckpointFault).has_value()) {
    return ExitCode::kBadCheckpoint;
  }
  const bool is_input = absl::IsInvalidArgument(status) || absl::IsOutOfRange(status) ||
                        absl::IsNotFound(status) || absl::IsUnimplemented(status);
  return is_input ? ExitCode::kUsage : ExitCode::kFailure;
}

}  // namespace hadal
