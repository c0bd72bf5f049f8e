#pragma once

#include <cstdint>
#include <grpcpp/support/status.h>

#include "base/status.h"

namespace hadal {

/// `status` as gRPC says it: the same code and message. Messages of INTERNAL, UNKNOWN and DATA_LOSS
/// are for our log, not for clients, and are not passed on.
grpc::Status ToGrpcStatus(const absl::Status& status);

/// The status of HTTP that metrics and logs count a call by, so that both interfaces are counted
/// alike.
int32_t HttpStatusOf(absl::StatusCode code);

}  // namespace hadal
