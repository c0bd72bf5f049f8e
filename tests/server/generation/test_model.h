#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/token_id.h"
#include "engine/text/chat/chat_format.h"
#include "engine/text/tokenizer.h"
#include "server/generation/served_model.h"

namespace hadal {

/// DeepSeek-V3's tokenizer, read once. CHECKs that it is there.
const Tokenizer& TestTokenizer();

/// A model with that tokenizer and a context of `max_tokens`.
ServedModel MakeTestModel(ChatFormat format, int64_t max_tokens);

/// The id of an added token that exists.
TokenId AddedToken(std::string_view name);

/// The ids of text; "<｜…｜>" and "<think>" are characters.
std::vector<TokenId> TokensOf(std::string_view text);

}  // namespace hadal
