#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/status.h"
#include "server/generation/admission.h"
#include "server/generation/generation_params.h"
#include "server/routes/call.h"

namespace hadal {

/// The body of a request and the share of the server that it was let in with.
struct AdmittedBody {
  std::string text;
  Admission::Reservation reservation;
};

/// Lets the request in, which takes `num_requests` of the server and, as long as its tokens are not
/// counted, a third of a token a byte but at most `max_prompt_tokens`; then reads its body. Nothing
/// of the body is read before. InvalidArgument unless its content type is JSON; the errors of
/// Admission::Reserve and Exchange::ReadBody.
absl::StatusOr<AdmittedBody> AdmitBody(Call& call,
                                       Admission& admission,
                                       int64_t num_requests,
                                       int64_t max_prompt_tokens);

/// Runs `work`, elsewhere when `num_bytes` of text would keep other connections waiting.
void RunWithText(Call& call, int64_t num_bytes, const std::function<void()>& work);

/// Reads x-request-timeout (seconds) and x-request-priority into `params`; they go before the
/// body's. InvalidArgument naming the header.
absl::Status ReadRequestHeaders(const HttpRequest& request,
                                const GenerationLimits& limits,
                                GenerationParams& params);

}  // namespace hadal
