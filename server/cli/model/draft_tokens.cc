#include "server/cli/model/draft_tokens.h"

#include <charconv>

#include "engine/api/executor.h"

namespace hadal {

absl::Status SetDraftTokens(std::string_view draft_tokens,
                            const ModelConfig& model,
                            Limits& limits) {
  const bool has_module = model.num_nextn_predict_layers > 0;
  if (draft_tokens == "auto") {
    limits.max_draft_tokens = has_module ? kMaxDraftTokens : 0;
    limits.draft_length = DraftLength::kAdapted;
    return absl::OkStatus();
  }
  int64_t count = 0;
  const char* const end = draft_tokens.data() + draft_tokens.size();
  const auto [parsed, error] = std::from_chars(draft_tokens.data(), end, count);
  if (error != std::errc() || parsed != end || count < 0 || count > kMaxDraftTokens) {
    return InvalidArgument("draft tokens: expected auto or a number from 0 to %d, found \"%s\"",
                           kMaxDraftTokens,
                           draft_tokens);
  }
  if (count > 0 && !has_module) {
    return InvalidArgument("draft tokens: the model has no MTP module that could guess %d", count);
  }
  limits.max_draft_tokens = count;
  limits.draft_length = DraftLength::kFixed;
  return absl::OkStatus();
}

MtpCache MtpCacheFor(const Limits& limits) {
  return limits.max_draft_tokens > 0 ? MtpCache::kIncluded : MtpCache::kNone;
}

}  // namespace hadal
