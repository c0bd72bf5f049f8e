#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/token_id.h"
#include "engine/text/chat/chat_format.h"
#include "engine/text/tokenizer.h"
#include "server/generation/served_model.h"

namespace hadal {

/// DeepSeek-V3's tokenizer with the tokens <think> and </think> of V3.1, read once.
const Tokenizer& TestTokenizer();

/// A model with that tokenizer and a context of `max_tokens`.
ServedModel MakeTestModel(ChatFormat format, int64_t max_tokens);

/// The id of an added token that exists.
TokenId IdOfAdded(std::string_view name);

/// The ids of text; "<｜…｜>" and "<think>" are characters.
std::vector<TokenId> TokensOf(std::string_view text);

}  // namespace hadal
