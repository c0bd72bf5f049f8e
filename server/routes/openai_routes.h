#pragma once

#include "base/status.h"
#include "server/routes/call.h"
#include "server/routes/openai_context.h"
#include "server/routes/router.h"

namespace hadal {

/// Adds chat and text completions, models, tokenize and detokenize to `router`, each with /v1,
/// without, and where DeepSeek has it, with /beta.
void AddOpenAiRoutes(const OpenAiContext& context, Router& router);

// The routes, one by one. Each returns what is to be answered as an error.

absl::Status AnswerChat(const OpenAiContext& context, Call& call);
absl::Status AnswerCompletion(const OpenAiContext& context, Call& call);
absl::Status ListModels(const OpenAiContext& context, Call& call);
absl::Status ShowModel(const OpenAiContext& context, Call& call);
absl::Status TokenizeText(const OpenAiContext& context, Call& call);
absl::Status DetokenizeIds(const OpenAiContext& context, Call& call);

}  // namespace hadal
