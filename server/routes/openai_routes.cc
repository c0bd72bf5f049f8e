#include "server/routes/openai_routes.h"

#include <utility>

#include <absl/strings/str_cat.h>

namespace hadal {

void AddOpenAiRoutes(const OpenAiContext& context, Router& router) {
  using Function = absl::Status (*)(const OpenAiContext&, Call&);
  const auto add =
      [&](std::string_view method, const std::string& path, RouteName name, Function function) {
        router.Add({.method = std::string(method),
                    .path = path,
                    .name = name,
                    .access = Router::Access::kWithKey,
                    .route = [&context, function](Call& call) { return function(context, call); }});
      };
  for (const std::string base : {"", "/v1", "/beta"}) {
    add("POST", base + "/chat/completions", RouteName::kChatCompletions, AnswerChat);
    add("POST", base + "/completions", RouteName::kCompletions, AnswerCompletion);
    add("GET", base + "/models", RouteName::kModels, ListModels);
    add("GET", base + "/models/*", RouteName::kModels, ShowModel);
  }
  for (const std::string base : {"", "/v1"}) {
    add("POST", base + "/tokenize", RouteName::kTokenize, TokenizeText);
    add("POST", base + "/detokenize", RouteName::kDetokenize, DetokenizeIds);
  }
}

}  // namespace hadal
