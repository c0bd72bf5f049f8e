#include "tests/server/generation/test_model.h"

#include <string>
#include <utility>

#include "base/check.h"
#include "base/mapped_file.h"
#include "engine/text/chat/prompt_tokens.h"

namespace hadal {
namespace {

void ReplaceOne(std::string_view from, std::string_view to, std::string& text) {
  const size_t place = text.find(from);
  CHECK(place != std::string::npos);
  text.replace(place, from.size(), to);
}

}  // namespace

const Tokenizer& TestTokenizer() {
  static const Tokenizer kTokenizer = [] {
    auto text = ReadTextFile(
        std::string(HADAL_SOURCE_DIR) + "/tests/data/deepseek-v3-tokenizer/tokenizer.json",
        size_t{1} << 26U);
    CHECK(text.ok());
    // V3.1 and R1 call two of V3's spare tokens so.
    ReplaceOne("<｜place▁holder▁no▁798｜>", kThinkBegin, *text);
    ReplaceOne("<｜place▁holder▁no▁799｜>", kThinkEnd, *text);
    auto tokenizer = Tokenizer::FromJson(*text);
    CHECK(tokenizer.ok());
    return *std::move(tokenizer);
  }();
  return kTokenizer;
}

ServedModel MakeTestModel(ChatFormat format, int64_t max_tokens) {
  return ServedModel({.names = {"test-model", "alias"},
                      .tokenizer = TestTokenizer(),
                      .format = format,
                      .bos = IdOfAdded(kBeginOfSentence),
                      .eos = {IdOfAdded(kEndOfSentence)},
                      .vocab_size = 129'280,
                      .max_tokens = max_tokens});
}

TokenId IdOfAdded(std::string_view name) {
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
