// Arbitrary tokens through AnswerParser, in every format: deltas are whole and in order, and no
// letter of the text gets lost.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/engine/text/answer/answer_test_support.h"

// The first byte gives format and state; then each is a token: the upper bytes those of structure.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using hadal::ChatFormat;
  using hadal::PromptState;
  using hadal::TokenId;
  static const hadal::Tokenizer kTokenizer = hadal::StructureTokenizer();
  constexpr ChatFormat kFormats[] = {
      ChatFormat::kV2, ChatFormat::kV3, ChatFormat::kR1, ChatFormat::kV31};
  if (size == 0) {
    return 0;
  }
  const ChatFormat format = kFormats[data[0] % 4];
  const bool reasons = format == ChatFormat::kR1 || format == ChatFormat::kV31;
  const bool begins_in_reasoning = reasons && data[0] / 4 % 2 == 1;
  const PromptState state = begins_in_reasoning ? PromptState::kReasoning : PromptState::kContent;
  std::vector<TokenId> ids;
  int64_t num_letters = 0;
  for (size_t i = 1; i < size; ++i) {
    ids.push_back(data[i] < 0xF5 ? data[i] : TokenId{data[i]} - 0xF5 + 256);
    num_letters += data[i] == 'X' ? 1 : 0;  // in no name and no fence
  }
  const hadal::Answer answer = hadal::Parse(hadal::AnswerParser(kTokenizer, format, state), ids);
  const auto count = [](const std::string& text) {
    return std::count(text.begin(), text.end(), 'X');
  };
  num_letters -= count(answer.reasoning_content) + count(answer.content);
  for (const hadal::AnswerCall& call : answer.tool_calls) {
    num_letters -= count(call.name) + count(call.arguments);
  }
  CHECK_EQ(num_letters, 0);
  return 0;
}
