#include "server/openai/request_fields.h"

#include <algorithm>
#include <span>
#include <string_view>

#include "engine/text/chat/chat_json.h"

namespace hadal {
namespace {

enum class Rule : int8_t {
  kRead,    // its reader checks it
  kAbsent,  // refused unless null
  kFalse,   // refused unless false, which is what happens anyway
  kTrue,    // refused unless true
  // Without effect on the answer:
  kAnyBool,
  kAnyText,    // of at most max_text_bytes
  kAnyTexts,   // metadata: up to 16 such texts by names of up to 64 bytes
  kAnyObject,  // bounded by the body alone
};

struct Field {
  std::string_view name;
  Rule rule;
};

constexpr Field kGenerationFields[] = {
    {"model", Rule::kRead},
    {"stream", Rule::kRead},
    {"stream_options", Rule::kRead},
    {"temperature", Rule::kRead},
    {"top_p", Rule::kRead},
    {"top_k", Rule::kRead},
    {"min_p", Rule::kRead},
    {"presence_penalty", Rule::kRead},
    {"frequency_penalty", Rule::kRead},
    {"repetition_penalty", Rule::kRead},
    {"logit_bias", Rule::kRead},
    {"logprobs", Rule::kRead},
    {"max_tokens", Rule::kRead},
    {"min_tokens", Rule::kRead},
    {"n", Rule::kRead},
    {"best_of", Rule::kRead},
    {"seed", Rule::kRead},
    {"stop", Rule::kRead},
    {"stop_token_ids", Rule::kRead},
    {"ignore_eos", Rule::kRead},
    {"cache_salt", Rule::kRead},
    {"priority", Rule::kRead},
    {"timeout", Rule::kRead},
    {"target_tpot_ms", Rule::kRead},
    {"response_format", Rule::kRead},
    {"user", Rule::kAnyText},
    {"safety_identifier", Rule::kAnyText},
    {"prompt_cache_key", Rule::kAnyText},
    {"prompt_cache_retention", Rule::kAnyText},
    {"service_tier", Rule::kAnyText},
    {"request_id", Rule::kAnyText},
    {"metadata", Rule::kAnyTexts},
    {"store", Rule::kAnyBool},
    {"spaces_between_special_tokens", Rule::kAnyBool},
    {"skip_special_tokens", Rule::kTrue},
    {"include_stop_str_in_output", Rule::kFalse},
    {"no_stop_trim", Rule::kFalse},
    {"use_beam_search", Rule::kFalse},
    {"return_token_ids", Rule::kFalse},
    {"return_tokens_as_token_ids", Rule::kFalse},
    {"return_hidden_states", Rule::kFalse},
    {"length_penalty", Rule::kAbsent},
    {"truncate_prompt_tokens", Rule::kAbsent},
    {"truncation_side", Rule::kAbsent},
    {"prompt_logprobs", Rule::kAbsent},
    {"logprob_token_ids", Rule::kAbsent},
    {"allowed_token_ids", Rule::kAbsent},
    {"bad_words", Rule::kAbsent},
    {"logits_processors", Rule::kAbsent},
    {"custom_logit_processor", Rule::kAbsent},
    {"structured_outputs", Rule::kAbsent},
    {"guided_json", Rule::kAbsent},
    {"guided_regex", Rule::kAbsent},
    {"guided_choice", Rule::kAbsent},
    {"guided_grammar", Rule::kAbsent},
    {"regex", Rule::kAbsent},
    {"ebnf", Rule::kAbsent},
    {"json_schema", Rule::kAbsent},
    {"stop_regex", Rule::kAbsent},
    {"lora_path", Rule::kAbsent},
    {"session_params", Rule::kAbsent},
    {"kv_transfer_params", Rule::kAbsent},
    {"vllm_xargs", Rule::kAbsent},
};

constexpr Field kChatFields[] = {
    {"messages", Rule::kRead},
    {"tools", Rule::kRead},
    {"tool_choice", Rule::kRead},
    {"parallel_tool_calls", Rule::kRead},
    {"thinking", Rule::kRead},
    {"reasoning_effort", Rule::kRead},
    {"chat_template_kwargs", Rule::kRead},
    {"top_logprobs", Rule::kRead},
    {"max_completion_tokens", Rule::kRead},
    {"modalities", Rule::kRead},
    {"verbosity", Rule::kAnyText},
    {"prediction", Rule::kAnyObject},
    {"include_reasoning", Rule::kTrue},
    {"separate_reasoning", Rule::kTrue},
    {"stream_reasoning", Rule::kTrue},
    {"add_generation_prompt", Rule::kTrue},
    {"continue_final_message", Rule::kFalse},
    {"add_special_tokens", Rule::kFalse},
    {"echo", Rule::kFalse},
    {"audio", Rule::kAbsent},
    {"functions", Rule::kAbsent},
    {"function_call", Rule::kAbsent},
    {"web_search_options", Rule::kAbsent},
    {"moderation", Rule::kAbsent},
    {"chat_template", Rule::kAbsent},
    {"documents", Rule::kAbsent},
    {"thinking_token_budget", Rule::kAbsent},
    {"mm_processor_kwargs", Rule::kAbsent},
    {"media_io_kwargs", Rule::kAbsent},
};

constexpr Field kCompletionFields[] = {
    {"prompt", Rule::kRead},
    {"suffix", Rule::kRead},
    {"echo", Rule::kRead},
    {"add_special_tokens", Rule::kTrue},
    {"prompt_embeds", Rule::kAbsent},
};

constexpr Field kTokenizeFields[] = {
    {"model", Rule::kRead},
    {"prompt", Rule::kRead},
    {"messages", Rule::kRead},
    {"tools", Rule::kRead},
    {"tool_choice", Rule::kRead},
    {"thinking", Rule::kRead},
    {"reasoning_effort", Rule::kRead},
    {"chat_template_kwargs", Rule::kRead},
    {"add_special_tokens", Rule::kRead},
    {"return_token_strs", Rule::kRead},
    {"add_generation_prompt", Rule::kTrue},
    {"continue_final_message", Rule::kFalse},
    {"chat_template", Rule::kAbsent},
    {"mm_processor_kwargs", Rule::kAbsent},
    {"media_io_kwargs", Rule::kAbsent},
};

constexpr Field kDetokenizeFields[] = {
    {"model", Rule::kRead},
    {"tokens", Rule::kRead},
};

const Field* FindField(std::span<const Field> fields, std::string_view name) {
  const auto found = std::find_if(
      fields.begin(), fields.end(), [name](const Field& field) { return field.name == name; });
  return found == fields.end() ? nullptr : &*found;
}

const Field* FindField(Endpoint endpoint, std::string_view name) {
  switch (endpoint) {
    case Endpoint::kTokenize:
      return FindField(kTokenizeFields, name);
    case Endpoint::kDetokenize:
      return FindField(kDetokenizeFields, name);
    case Endpoint::kChat:
    case Endpoint::kCompletion:
      break;
  }
  const Field* field = FindField(kGenerationFields, name);
  if (field != nullptr) {
    return field;
  }
  return endpoint == Endpoint::kChat ? FindField(kChatFields, name)
                                     : FindField(kCompletionFields, name);
}

absl::Status CheckText(const JsonFields& fields, std::string_view name, int64_t max_bytes) {
  ASSIGN_OR_RETURN(const std::string_view text, fields.String(name));
  return CheckAtMost(fields.PathOf(name), max_bytes, "bytes", text.size());
}

absl::Status CheckTexts(const JsonFields& body, std::string_view name, int64_t max_bytes) {
  constexpr int64_t kMaxPairs = 16;
  constexpr int64_t kMaxNameBytes = 64;
  ASSIGN_OR_RETURN(const JsonFields texts, body.Object(name));
  RETURN_IF_ERROR(CheckAtMost(name, kMaxPairs, "pairs", texts.object().size()));
  for (const auto& pair : texts.object()) {
    RETURN_IF_ERROR(CheckAtMost(name, kMaxNameBytes, "bytes of a name", pair.key().size()));
    // Names may be anything, so paths end at the object.
    if (!pair.value().is_string()) {
      return InvalidArgument(
          "%s: expected strings as values, found %s", name, DescribeJson(pair.value()));
    }
    RETURN_IF_ERROR(
        CheckAtMost(name, max_bytes, "bytes of a value", pair.value().get_string().size()));
  }
  return absl::OkStatus();
}

absl::Status CheckOnly(const JsonFields& body, std::string_view name, bool supported) {
  ASSIGN_OR_RETURN(const bool value, body.BoolOr(name, supported));
  return value == supported ? absl::OkStatus()
                            : body.Unsupported(name, supported ? "true" : "false");
}

absl::Status CheckField(const Field& field, const JsonFields& body, int64_t max_text_bytes) {
  switch (field.rule) {
    case Rule::kAbsent:
      return Unimplemented("%s: not supported", field.name);
    case Rule::kFalse:
      return CheckOnly(body, field.name, false);
    case Rule::kTrue:
      return CheckOnly(body, field.name, true);
    case Rule::kAnyBool:
      return body.BoolOr(field.name, false).status();
    case Rule::kAnyText:
      return CheckText(body, field.name, max_text_bytes);
    case Rule::kAnyTexts:
      return CheckTexts(body, field.name, max_text_bytes);
    case Rule::kAnyObject:
      return body.Object(field.name).status();
    case Rule::kRead:
      break;
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckFields(Endpoint endpoint,
                         const JsonFields& body,
                         const GenerationLimits& limits) {
  for (const auto& member : body.object()) {
    const std::string_view name(member.key().data(), member.key().size());
    const Field* field = FindField(endpoint, name);
    if (field == nullptr) {
      return UnrecognizedField(body, name);
    }
    if (!member.value().is_null()) {
      RETURN_IF_ERROR(CheckField(*field, body, limits.max_text_bytes));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckAtMost(std::string_view path, int64_t max, std::string_view unit, size_t found) {
  if (found <= static_cast<size_t>(std::max<int64_t>(max, 0))) {
    return absl::OkStatus();
  }
  return InvalidArgument("%s: at most %d %s are allowed, found %d", path, max, unit, found);
}

}  // namespace hadal
