#include "server/grpc/grpc_context.h"

#include <random>

#include "server/grpc/grpc_status.h"
#include "server/operations/request_log.h"

namespace hadal {

void CountCall(const GrpcContext& context, const CallRecord& record, const absl::Status& status) {
  const int32_t http_status = HttpStatusOf(status.code());
  context.metrics().CountRequest(record.route, http_status, record.finish_reason);
  if (http_status == 400) {
    context.metrics().CountRejection(RejectReason::kInvalid);
  }
  if (!context.logs_requests) {
    return;
  }
  LogRequest({.request_id = record.request_id,
              .tenant = context.keys.NameOf(record.tenant),
              .client_address = record.client_address,
              .route = NameOf(record.route),
              .status = http_status,
              .finish_reason = record.finish_reason,
              .prompt_tokens = record.usage.prompt_tokens,
              .completion_tokens = record.usage.completion_tokens,
              .queue = record.times.has_value() ? std::optional(record.times->queue) : std::nullopt,
              .first_token = record.times.has_value() ? record.times->first_token : std::nullopt,
              .total = context.clock().Now() - record.arrival});
}

std::string FreshId() {
  constexpr std::string_view kLetters =
      "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  thread_local std::mt19937_64 random{std::random_device{}()};
  std::uniform_int_distribution<size_t> letter(0, kLetters.size() - 1);
  std::string id;
  for (int32_t i = 0; i < 24; ++i) {
    id.push_back(kLetters[letter(random)]);
  }
  return id;
}

}  // namespace hadal
