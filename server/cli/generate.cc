#include <algorithm>
#include <cstdio>
#include <optional>
#include <random>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "engine/checkpoint/generation_config.h"
#include "kernels/kernel_registry.h"
#include "server/cli/commands.h"
#include "server/cli/exit_code.h"
#include "server/cli/generation.h"
#include "server/cli/json_output.h"
#include "server/cli/model/loaded_model.h"
#include "server/cli/model/text_model.h"

namespace hadal {
namespace {

// Nothing when the prompt comes as ids: then the checkpoint may have no tokenizer.
absl::StatusOr<std::optional<TextModel>> OpenTextModel(const GenerateOptions& options) {
  if (!options.prompt.ids_file.empty()) {
    return std::nullopt;
  }
  ASSIGN_OR_RETURN(TextModel text_model, TextModel::Open(options.model.model));
  return std::optional(std::move(text_model));
}

absl::StatusOr<std::vector<TokenId>> ReadPrompt(const PromptSource& source,
                                                const std::optional<TextModel>& text_model) {
  if (!text_model.has_value()) {
    return ReadIdsFile(source.ids_file);
  }
  if (source.text.has_value()) {
    return text_model->EncodeText(*source.text);
  }
  ASSIGN_OR_RETURN(const ChatPrompt chat, text_model->EncodeChatFile(source.chat_file));
  return EncodePrompt(chat.segments, text_model->tokenizer());
}

absl::StatusOr<std::vector<TokenId>> StopTokenIds(const GenerateOptions& options,
                                                  const ModelConfig& config,
                                                  const std::optional<TextModel>& text_model) {
  std::vector<TokenId> ids = options.stop_token_ids;
  if (options.ignore_eos) {
    return ids;
  }
  const std::vector<TokenId> eos =
      text_model.has_value() ? text_model->EosTokenIds() : config.eos_token_ids;
  ids.insert(ids.end(), eos.begin(), eos.end());
  ASSIGN_OR_RETURN(const std::vector<TokenId> more,
                   CheckpointFault(ReadGenerationEosTokenIds(options.model.model)));
  ids.insert(ids.end(), more.begin(), more.end());
  return ids;
}

boost::json::object TokenToJson(TokenId token, float logprob, const Tokenizer* tokenizer) {
  boost::json::object json = {{"id", token}, {"logprob", JsonNumber(double{logprob})}};
  if (tokenizer != nullptr) {
    json["token"] = PieceText(*tokenizer, token);
  }
  return json;
}

boost::json::array LogprobsToJson(const GeneratedSequence& generation, const Tokenizer* tokenizer) {
  boost::json::array logprobs;
  for (const SampledToken& sampled : generation.tokens) {
    boost::json::object token = TokenToJson(sampled.token, sampled.logprob, tokenizer);
    boost::json::array top;
    for (const TokenLogprob& other : sampled.top_logprobs) {
      top.push_back(TokenToJson(other.token, other.logprob, tokenizer));
    }
    token["top_logprobs"] = std::move(top);
    logprobs.push_back(std::move(token));
  }
  return logprobs;
}

void PrintResult(const GenerateOptions& options,
                 const SamplingParams& sampling,
                 int64_t num_prompt_tokens,
                 const GeneratedSequence& generation,
                 const Tokenizer* tokenizer) {
  if (options.format == OutputFormat::kText) {
    if (tokenizer == nullptr) {
      for (const SampledToken& sampled : generation.tokens) {
        std::printf("%d ", sampled.token);
      }
    }
    std::printf("\n");
    return;
  }
  boost::json::array ids;
  for (const SampledToken& sampled : generation.tokens) {
    ids.push_back(sampled.token);
  }
  boost::json::object result = {{"text", generation.text},
                                {"ids", std::move(ids)},
                                {"finish_reason", NameOf(generation.finish_reason)},
                                {"prompt_tokens", num_prompt_tokens},
                                {"completion_tokens", std::ssize(generation.tokens)},
                                {"seed", sampling.seed}};
  if (sampling.num_logprobs >= 0) {
    result["logprobs"] = LogprobsToJson(generation, tokenizer);
  }
  PrintJson(result);
}

uint64_t FreshSeed() {
  std::random_device device;
  return (uint64_t{device()} << 32U) | device();
}

}  // namespace

absl::Status RunCommand(const GenerateOptions& options) {
  // 1. What does not need the weights comes first, so that mistakes show at once.
  const std::string& dir = options.model.model;
  ASSIGN_OR_RETURN(const ModelConfig config, CheckpointFault(ReadModelConfig(dir)));
  SamplingParams sampling = options.sampling;
  sampling.seed = options.seed.has_value() ? *options.seed : FreshSeed();
  RETURN_IF_ERROR(ValidateSamplingParams(sampling, config.vocab_size));
  ASSIGN_OR_RETURN(const KernelTable kernels, BuildKernelTable(options.model.kernels));
  ASSIGN_OR_RETURN(StopMatcher stop_matcher, StopMatcher::Create(options.stop_strings));
  ASSIGN_OR_RETURN(const std::optional<TextModel> text_model, OpenTextModel(options));
  ASSIGN_OR_RETURN(const std::vector<TokenId> stop_token_ids,
                   StopTokenIds(options, config, text_model));
  ASSIGN_OR_RETURN(const std::vector<TokenId> prompt, ReadPrompt(options.prompt, text_model));
  RETURN_IF_ERROR(CheckPrompt(config, prompt));

  // 2. The model.
  ASSIGN_OR_RETURN(const std::unique_ptr<LoadedModel> loaded,
                   LoadedModel::Load(options.model, kernels));
  const int64_t num_prompt_tokens = std::ssize(prompt);
  const int64_t max_tokens =
      std::min(options.max_tokens, config.max_position_embeddings - num_prompt_tokens);
  ASSIGN_OR_RETURN(SequenceRunner sequence,
                   loaded->NewSequenceRunner(num_prompt_tokens + max_tokens));

  // 3. Text goes out as it comes, unless the whole answer is wanted as JSON.
  const auto stream = [&options](std::string_view text) {
    if (options.format == OutputFormat::kText) {
      std::fwrite(text.data(), 1, text.size(), stdout);
      std::fflush(stdout);
    }
  };
  Sampler sampler(config.vocab_size);
  const Tokenizer* tokenizer = text_model.has_value() ? &text_model->tokenizer() : nullptr;
  ASSIGN_OR_RETURN(const GeneratedSequence generation,
                   Generate({.sequence = sequence,
                             .prompt = prompt,
                             .max_tokens = max_tokens,
                             .sampler = sampler,
                             .sampling = sampling,
                             .stop_token_ids = stop_token_ids,
                             .stop_matcher = std::move(stop_matcher),
                             .tokenizer = tokenizer},
                            stream));
  PrintResult(options, sampling, num_prompt_tokens, generation, tokenizer);
  return absl::OkStatus();
}

}  // namespace hadal
