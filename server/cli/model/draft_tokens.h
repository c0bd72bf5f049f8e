#pragma once

#include <string_view>

#include "base/status.h"
#include "engine/checkpoint/model_config.h"
#include "engine/model/kv_cache.h"
#include "scheduler/limits.h"

namespace hadal {

/// Sets max_draft_tokens and draft_length of `limits` from what --draft-tokens says: "auto" or a
/// number. InvalidArgument for another text, and for a number above 0 when the model has no MTP
/// module; "auto" then drafts nothing.
absl::Status SetDraftTokens(std::string_view draft_tokens,
                            const ModelConfig& model,
                            Limits& limits);

/// The cache that such limits need.
MtpCache MtpCacheFor(const Limits& limits);

}  // namespace hadal
