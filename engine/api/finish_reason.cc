#include "engine/api/finish_reason.h"

#include "base/check.h"

namespace hadal {

std::string_view NameOf(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kCancelled:
      return "cancelled";
    case FinishReason::kDeadlineExceeded:
      return "deadline_exceeded";
    case FinishReason::kFailed:
      return "failed";
  }
  CHECK(false);
}

}  // namespace hadal
