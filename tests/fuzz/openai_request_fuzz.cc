// Arbitrary bytes as the body of each endpoint: whatever they are, there is a call within its
// bounds, or an error of the client's that says where.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <absl/strings/ascii.h>

#include "base/check.h"
#include "base/json.h"
#include "server/openai/api_error.h"
#include "server/openai/requests.h"

namespace {

using hadal::GenerationLimits;
using hadal::GenerationParams;

// "path: …", where a path is of names, dots and indices, or that of the body itself.
bool SaysWhere(std::string_view message) {
  if (message.rfind("invalid JSON ", 0) == 0 || message.rfind("request body: ", 0) == 0) {
    return true;
  }
  const size_t end = message.find(": ");
  if (end == std::string_view::npos || end == 0) {
    return false;
  }
  const std::string_view path = message.substr(0, end);
  return std::all_of(path.begin(), path.end(), [](unsigned char letter) {
    return absl::ascii_isalnum(letter) || letter == '_' || letter == '-' || letter == '.' ||
           letter == '[' || letter == ']';
  });
}

void CheckError(const absl::Status& status) {
  constexpr size_t kMaxMessageBytes = 512;
  CHECK(status.code() == absl::StatusCode::kInvalidArgument ||
        status.code() == absl::StatusCode::kUnimplemented);
  CHECK(SaysWhere(hadal::MessageOf(status)));
  const bool is_json = hadal::MessageOf(status).rfind("invalid JSON ", 0) != 0;
  CHECK(!is_json || status.message().size() <= kMaxMessageBytes);
  CHECK_EQ(hadal::ApiErrorOf(status).http_status, 400);
  CHECK(hadal::ParseJson(hadal::ToJson(hadal::ApiErrorOf(status))).ok());
}

void CheckParams(const GenerationParams& params, const GenerationLimits& limits) {
  constexpr int64_t kAllTokens = int64_t{1} << 31U;
  CHECK_EQ(hadal::ValidateSamplingParams(params.sampling, kAllTokens), absl::OkStatus());
  CHECK(params.n >= 1 && params.n <= limits.max_n);
  CHECK(params.max_tokens.value_or(1) >= 1);
  CHECK_LE(params.min_tokens, params.max_tokens.value_or(params.min_tokens));
  CHECK_LE(params.sampling.num_logprobs, limits.max_logprobs);
  CHECK_LE(params.stop.size(), static_cast<size_t>(limits.max_stop_strings));
  for (const std::string& stop : params.stop) {
    CHECK(!stop.empty() && stop.size() <= static_cast<size_t>(limits.max_stop_bytes));
  }
  for (const hadal::TokenId token : params.stop_token_ids) {
    CHECK_GE(token, 0);
  }
  CHECK(!params.timeout || (params.timeout->count() > 0 && *params.timeout <= limits.max_timeout));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const GenerationLimits limits;
  const auto body = hadal::ParseJson({reinterpret_cast<const char*>(data), size});
  if (!body.ok()) {
    CheckError(body.status());
    return 0;
  }
  const auto chat = hadal::ReadChatCall(*body, limits);
  if (chat.ok()) {
    CheckParams(chat->params, limits);
    CHECK(!chat->chat.messages.empty());
  } else {
    CheckError(chat.status());
  }
  const auto completion = hadal::ReadCompletionCall(*body, limits);
  if (completion.ok()) {
    CheckParams(completion->params, limits);
    CHECK(!completion->prompts.empty());
  } else {
    CheckError(completion.status());
  }
  const auto tokenize = hadal::ReadTokenizeCall(*body, limits);
  if (tokenize.ok()) {
    CHECK(tokenize->text.has_value() != tokenize->chat.has_value());
  } else {
    CheckError(tokenize.status());
  }
  const auto detokenize = hadal::ReadDetokenizeCall(*body, limits);
  if (!detokenize.ok()) {
    CheckError(detokenize.status());
  }
  return 0;
}
