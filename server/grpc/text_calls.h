#pragma once

// The calls that generate nothing: each reads a request and writes a response.

#include "base/status.h"
#include "scheduler/request.h"
#include "server/grpc/grpc_context.h"

namespace grpc {
class ByteBuffer;
}

namespace hadal {

using TextCall = absl::Status (*)(const GrpcContext& context,
                                  TenantId tenant,
                                  const grpc::ByteBuffer& request,
                                  grpc::ByteBuffer& response);

absl::Status AnswerTokenize(const GrpcContext& context,
                            TenantId tenant,
                            const grpc::ByteBuffer& request,
                            grpc::ByteBuffer& response);
absl::Status AnswerDetokenize(const GrpcContext& context,
                              TenantId tenant,
                              const grpc::ByteBuffer& request,
                              grpc::ByteBuffer& response);
absl::Status AnswerCancel(const GrpcContext& context,
                          TenantId tenant,
                          const grpc::ByteBuffer& request,
                          grpc::ByteBuffer& response);
absl::Status AnswerGetLoad(const GrpcContext& context,
                           TenantId tenant,
                           const grpc::ByteBuffer& request,
                           grpc::ByteBuffer& response);

}  // namespace hadal
