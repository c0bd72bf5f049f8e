#include "server/cli/generation.h"

#include <algorithm>
#include <utility>

#include "engine/text/stream_decoder.h"

namespace hadal {
namespace {

// From tokens to the text that may be shown: whole characters, nothing of a stop string.
class TextOutput {
 public:
  TextOutput(const Tokenizer& tokenizer,
             StopMatcher stop_matcher,
             absl::FunctionRef<void(std::string_view)> emit)
      : decoder_(tokenizer, SpecialTokens::kHide),
        stop_matcher_(std::move(stop_matcher)),
        emit_(emit) {}

  void Push(TokenId token) { Emit(stop_matcher_.Push(decoder_.Push(token))); }

  std::string Finish() {
    Emit(stop_matcher_.Push(decoder_.Finish()));
    Emit(stop_matcher_.Finish());
    return std::move(text_);
  }

  [[nodiscard]] bool stopped() const { return stop_matcher_.stopped(); }

 private:
  void Emit(const std::string& text) {
    if (!text.empty()) {
      emit_(text);
      text_ += text;
    }
  }

  StreamDecoder decoder_;
  StopMatcher stop_matcher_;
  absl::FunctionRef<void(std::string_view)> emit_;
  std::string text_;
};

}  // namespace

absl::StatusOr<GeneratedSequence> Generate(GenerationArgs args,
                                           absl::FunctionRef<void(std::string_view)> emit) {
  std::optional<TextOutput> output;
  if (args.tokenizer != nullptr) {
    output.emplace(*args.tokenizer, std::move(args.stop_matcher), emit);
  }
  GeneratedSequence generation;
  std::vector<TokenId> tokens = args.prompt;
  std::span<const TokenId> next = tokens;
  while (std::ssize(generation.tokens) < args.max_tokens) {
    const std::span<float> logits = args.sequence.AppendAndPredict(next);
    SampledToken sampled;
    RETURN_IF_ERROR(args.sampler.Sample({.params = args.sampling,
                                         .tokens = tokens,
                                         .num_prompt_tokens = std::ssize(args.prompt),
                                         .num_logprobs = args.sampling.num_logprobs,
                                         .logits = logits},
                                        sampled));
    const TokenId token = sampled.token;
    generation.tokens.push_back(std::move(sampled));
    if (std::find(args.stop_token_ids.begin(), args.stop_token_ids.end(), token) !=
        args.stop_token_ids.end()) {
      generation.finish_reason = FinishReason::kStop;
      break;
    }
    if (output.has_value()) {
      output->Push(token);
      if (output->stopped()) {
        generation.finish_reason = FinishReason::kStop;
        break;
      }
    }
    tokens.push_back(token);
    next = std::span(tokens).last(1);
  }
  if (output.has_value()) {
    generation.text = output->Finish();
    if (output->stopped()) {
      generation.finish_reason = FinishReason::kStop;
    }
  }
  return generation;
}

}  // namespace hadal
