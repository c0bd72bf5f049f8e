#pragma once

#include <string_view>

#include "base/status.h"
#include "engine/text/tokenizer.h"
#include "engine/text/tokenizer_config.h"

namespace hadal {

/// How a family of checkpoints writes conversations; prompt_encoder.h has an encoder for each.
enum class ChatFormat {
  kV2,   // DeepSeek-V2, V2-Lite, Coder-V2: "User: " and "Assistant: " in plain text
  kV3,   // DeepSeek-V2.5, V3, V3-0324: role tokens, no reasoning
  kR1,   // DeepSeek-R1, R1-0528: role tokens, always reasons
  kV31,  // DeepSeek-V3.1, V3.1-Terminus: role tokens, reasons on request
};

/// "v2", "v3", "r1" or "v31".
std::string_view NameOf(ChatFormat format);

/// Chooses the format of a checkpoint. `model_type` is that of its config.json and must be
/// "deepseek_v2" or "deepseek_v3". The text of the chat template decides, by what it mentions:
///
///   1. "DSML": none of these formats; refused.
///   2. no `<｜User｜>`, but "User: ": kV2.
///   3. `<｜User｜>`, `</think>` and a variable "thinking": kV31.
///   4. `<｜User｜>` and `</think>`: kR1.
///   5. `<｜User｜>`: kV3.
///
/// Without a template, added tokens decide where they leave no doubt: no `<｜User｜>` means kV2,
/// `<｜User｜>` without `<think>` means kV3. InvalidArgument when nothing fits, and when the
/// tokenizer lacks an added token that the chosen format needs; Unimplemented for rule 1 and for
/// other model types, such as "deepseek_v32" and "kimi_k2".
absl::StatusOr<ChatFormat> DetectChatFormat(const Tokenizer& tokenizer,
                                            const TokenizerConfig& config,
                                            std::string_view model_type);

}  // namespace hadal
