#include "tests/demo/demo_chats.h"

#include <string>
#include <utility>

#include <boost/json/array.hpp>

#include "base/check.h"
#include "base/json.h"
#include "engine/text/chat/chat_json.h"
#include "engine/text/chat/prompt_encoder.h"
#include "engine/text/tokenizer.h"

namespace hadal {
namespace {

const std::string kFolder = std::string(HADAL_SOURCE_DIR) + "/models/demo";

Tokenizer DemoTokenizer() {
  absl::StatusOr<Tokenizer> tokenizer = Tokenizer::FromFile(kFolder + "/tokenizer.json");
  CHECK(tokenizer.ok());
  return *std::move(tokenizer);
}

}  // namespace

std::vector<std::vector<TokenId>> DemoChats() {
  const Tokenizer tokenizer = DemoTokenizer();
  const absl::StatusOr<boost::json::value> bodies =
      ParseJsonFile(kFolder + "/chats.json", size_t{1} << 20U);
  CHECK(bodies.ok());
  std::vector<std::vector<TokenId>> prompts;
  for (const boost::json::value& body : bodies->as_array()) {
    const absl::StatusOr<ChatRequest> request = ReadChatRequest(body);
    CHECK(request.ok());
    const absl::StatusOr<ChatPrompt> prompt = EncodeChatV31(*request);
    CHECK(prompt.ok());
    absl::StatusOr<std::vector<TokenId>> ids = EncodePrompt(prompt->segments, tokenizer);
    CHECK(ids.ok());
    prompts.push_back(*std::move(ids));
  }
  return prompts;
}

std::vector<Request> DemoRequests(int64_t max_new_tokens) {
  const std::optional<TokenId> end = DemoTokenizer().FindAddedToken("<｜end▁of▁sentence｜>");
  CHECK(end.has_value());
  std::vector<Request> requests;
  for (std::vector<TokenId>& prompt : DemoChats()) {
    Request& request = requests.emplace_back();
    request.id = RequestId{std::ssize(requests) - 1};
    request.prompt = std::move(prompt);
    request.sampling = {.temperature = 0, .num_logprobs = 0};
    request.max_new_tokens = max_new_tokens;
    request.stop_token_ids = {*end};
  }
  return requests;
}

}  // namespace hadal
