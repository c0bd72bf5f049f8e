#pragma once

#include <memory>

#include "server/operations/auth.h"

namespace grpc {
class ServerCredentials;
}

namespace hadal {

/// Credentials of a server without TLS that ends every call without a known key as UNAUTHENTICATED
/// before anything sees it: those of all services, of reflection, and of methods that do not exist.
/// Only grpc.health.v1.Health may be called without. Borrows `keys`, which outlives the server.
std::shared_ptr<grpc::ServerCredentials> KeyCheckCredentials(const ApiKeys& keys);

}  // namespace hadal
