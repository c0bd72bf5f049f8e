#include "base/status.h"

#include <string>

namespace hadal {

absl::Status Annotate(const absl::Status& status, std::string_view context) {
  if (status.ok()) {
    return status;
  }
  return {status.code(), absl::StrFormat("%s: %s", context, MessageOf(status))};
}

}  // namespace hadal
