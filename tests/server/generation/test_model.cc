#include "tests/server/generation/test_model.h"

#include "base/check.h"
#include "engine/text/chat/prompt_tokens.h"

namespace hadal {

const Tokenizer& TestTokenizer() {
  static const Tokenizer kTokenizer = [] {
    auto tokenizer = Tokenizer::FromFile(std::string(HADAL_SOURCE_DIR) +
                                         "/tests/data/deepseek-v3-tokenizer/tokenizer.json");
    CHECK(tokenizer.ok());
    return *std::move(tokenizer);
  }();
  return kTokenizer;
}

ServedModel MakeTestModel(ChatFormat format, int64_t max_tokens) {
  return ServedModel({.names = {"test-model", "alias"},
                      .tokenizer = TestTokenizer(),
                      .format = format,
                      .bos = AddedToken(kBeginOfSentence),
                      .eos = {AddedToken(kEndOfSentence)},
                      .vocab_size = 129'280,
                      .max_tokens = max_tokens});
}

TokenId AddedToken(std::string_view name) {
  const auto id = TestTokenizer().FindAddedToken(name);
  CHECK(id.has_value());
  return *id;
}

std::vector<TokenId> TokensOf(std::string_view text) {
  auto ids = TestTokenizer().Encode(text);
  CHECK(ids.ok());
  return *std::move(ids);
}

}  // namespace hadal
