#include <algorithm>
#include <chrono>
#include <cstdio>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <boost/json/object.hpp>

#include "base/clock.h"
#include "base/mapped_file.h"
#include "kernels/kernel_registry.h"
#include "server/cli/commands.h"
#include "server/cli/exit_code.h"
#include "server/cli/generation.h"
#include "server/cli/json_output.h"
#include "server/cli/model/loaded_model.h"
#include "server/cli/model/quality.h"
#include "server/cli/model/text_model.h"

namespace hadal {
namespace {

using Origin = PackedWeights::Origin;

// What is printed, as text or as JSON.
struct Report {
  WeightPacking packing;
  Origin origin;
  std::string path;          // of the packed file; empty: none could be written
  int64_t native_bytes = 0;  // all weights, as they are in the checkpoint
  int64_t bytes = 0;         // all weights, packed
  double seconds = 0;        // to pack and write them, or to check what was there
  std::optional<Quality> quality;
};

// What to measure quality on: texts, or prompts whose answers are still to be sampled.
struct Material {
  std::vector<ScoredText> texts;
  bool are_prompts = false;
  std::vector<TokenId> stop_token_ids;  // of answers
};

// Prompts of chat requests.
absl::StatusOr<Material> ReadChats(const std::string& path, const TextModel& text_model) {
  ASSIGN_OR_RETURN(std::vector<std::vector<TokenId>> prompts, text_model.EncodeChatsFile(path));
  Material material = {
      .texts = {}, .are_prompts = true, .stop_token_ids = text_model.EosTokenIds()};
  for (std::vector<TokenId>& prompt : prompts) {
    RETURN_IF_ERROR(CheckPrompt(text_model.config(), prompt));
    material.texts.push_back({.tokens = std::move(prompt)});
  }
  return material;
}

// A text in windows, each of which a model reads alone.
absl::StatusOr<Material> ReadWindows(const std::string& path, const TextModel& text_model) {
  constexpr int64_t kWindowTokens = 1024;
  ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path, kMaxInputFileBytes));
  ASSIGN_OR_RETURN(const std::vector<TokenId> ids, text_model.EncodeText(text));
  RETURN_IF_ERROR(
      CheckPrompt(text_model.config(), std::span(ids).first(std::min<size_t>(ids.size(), 1))));
  const int64_t window = std::min(kWindowTokens, text_model.config().max_position_embeddings);
  Material material;
  for (auto begin = ids.begin(); begin != ids.end();) {
    const auto end = begin + std::min(window, ids.end() - begin);
    material.texts.push_back({.tokens = {begin, end}});
    begin = end;
  }
  return material;
}

// Nothing when there is no text.
absl::StatusOr<std::optional<Material>> ReadMaterial(const QuantizeOptions& options) {
  std::string chats_file = options.chats_file;
  if (options.text_file.empty() && chats_file.empty()) {
    if (options.model.model != kDemoModel) {
      return std::nullopt;
    }
    chats_file = std::string(kDemoModel) + "/chats.json";
  }
  ASSIGN_OR_RETURN(const TextModel text_model, TextModel::Open(options.model.model));
  return chats_file.empty() ? ReadWindows(options.text_file, text_model)
                            : ReadChats(chats_file, text_model);
}

// Appends an answer of the model to each prompt, drawn from its own distribution, and scores that.
absl::Status SampleAnswers(LoadedModel& loaded, Material& material) {
  constexpr int64_t kMaxAnswerTokens = 64;
  Sampler sampler(loaded.config().vocab_size);
  SamplingParams sampling;
  for (ScoredText& text : material.texts) {
    const std::vector<TokenId> prompt = text.tokens;
    const int64_t max_tokens =
        std::min(kMaxAnswerTokens, loaded.config().max_position_embeddings - std::ssize(prompt));
    ASSIGN_OR_RETURN(SequenceRunner sequence,
                     loaded.NewSequenceRunner(std::ssize(prompt) + max_tokens));
    ASSIGN_OR_RETURN(StopMatcher no_stop_strings, StopMatcher::Create({}));
    ++sampling.seed;
    ASSIGN_OR_RETURN(const GeneratedSequence answer,
                     Generate({.sequence = sequence,
                               .prompt = prompt,
                               .max_tokens = max_tokens,
                               .sampler = sampler,
                               .sampling = sampling,
                               .stop_token_ids = material.stop_token_ids,
                               .stop_matcher = std::move(no_stop_strings),
                               .tokenizer = nullptr},
                              [](std::string_view /*text*/) {}));
    text.first_scored = std::ssize(prompt);
    for (const SampledToken& token : answer.tokens) {
      text.tokens.push_back(token.token);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<LoadedModel>> LoadNative(ModelOptions options,
                                                        const KernelTable& kernels) {
  options.weights = WeightPacking::kNative;
  return LoadedModel::Load(options, kernels);
}

std::string_view NameOf(Origin origin) {
  switch (origin) {
    case Origin::kFile:
      return "was there";
    case Origin::kNewFile:
      return "written";
    case Origin::kMemory:
      break;
  }
  return "not written";
}

void PrintText(const Report& report) {
  constexpr double kBytesPerMb = 1e6;
  std::printf("weights     %.3f MB as published, %.3f MB as %s\n",
              static_cast<double>(report.native_bytes) / kBytesPerMb,
              static_cast<double>(report.bytes) / kBytesPerMb,
              std::string(NameOf(report.packing)).c_str());
  std::printf("file        %s%s\n",
              report.path.empty() ? "" : (report.path + ": ").c_str(),
              std::string(NameOf(report.origin)).c_str());
  std::printf("time        %.2f s\n", report.seconds);
  if (report.quality.has_value()) {
    const Quality& quality = *report.quality;
    std::printf("perplexity  %.4f, as published %.4f: ratio %.5f over %lld tokens\n",
                quality.perplexity,
                quality.expected_perplexity,
                quality.perplexity_ratio(),
                static_cast<long long>(quality.num_tokens));
    std::printf("logits      rms error %.4f, mean KL divergence %.6f\n",
                quality.rms_logit_error,
                quality.mean_divergence);
  }
}

boost::json::object ToJson(const Report& report) {
  const auto text = [](std::string_view view) {
    return boost::json::string(view.data(), view.size());
  };
  boost::json::object json = {
      {"weights", text(NameOf(report.packing))},
      {"path", report.path.empty() ? boost::json::value(nullptr) : text(report.path)},
      {"written", report.origin == Origin::kNewFile},
      {"native_bytes", report.native_bytes},
      {"bytes", report.bytes},
      {"seconds", report.seconds},
      {"quality", nullptr}};
  if (report.quality.has_value()) {
    const Quality& quality = *report.quality;
    json["quality"] = {{"tokens", quality.num_tokens},
                       {"native_perplexity", JsonNumber(quality.expected_perplexity)},
                       {"perplexity", JsonNumber(quality.perplexity)},
                       {"perplexity_ratio", JsonNumber(quality.perplexity_ratio())},
                       {"rms_logit_error", JsonNumber(quality.rms_logit_error)},
                       {"mean_divergence", JsonNumber(quality.mean_divergence)}};
  }
  return json;
}

}  // namespace

absl::Status RunCommand(const QuantizeOptions& options) {
  // 1. What does not need the weights comes first, so that mistakes show at once.
  if (options.model.weights == WeightPacking::kNative) {
    return InvalidArgument("--weights: native weights need no packing");
  }
  ASSIGN_OR_RETURN(const KernelTable kernels, BuildKernelTable(options.model.kernels));
  ASSIGN_OR_RETURN(std::optional<Material> material, ReadMaterial(options));

  // 2. Loading packs.
  const SteadyClock clock;
  const TimePoint begin = clock.Now();
  ASSIGN_OR_RETURN(const std::unique_ptr<LoadedModel> packed,
                   LoadedModel::Load(options.model, kernels));
  const std::chrono::duration<double> seconds = clock.Now() - begin;
  const Checkpoint& checkpoint = packed->checkpoint();
  Report report = {.packing = options.model.weights,
                   .origin = *packed->weights().packed_origin(),
                   .path = {},
                   .native_bytes = checkpoint.total_bytes(),
                   .bytes = Weights::SizeBytes(checkpoint, options.model.weights),
                   .seconds = seconds.count(),
                   .quality = {}};
  if (report.origin != Origin::kMemory) {
    report.path = PackedFilePath(checkpoint.dir(), options.model.weights);
  }

  // 3. What it costs.
  if (material.has_value()) {
    ASSIGN_OR_RETURN(const std::unique_ptr<LoadedModel> native, LoadNative(options.model, kernels));
    if (material->are_prompts) {
      RETURN_IF_ERROR(SampleAnswers(*native, *material));
    }
    ASSIGN_OR_RETURN(report.quality, MeasureQuality(material->texts, *native, *packed));
  }
  if (options.format == OutputFormat::kJson) {
    PrintJson(ToJson(report));
  } else {
    PrintText(report);
  }
  const bool is_builtin = checkpoint.dir().starts_with(kBuiltinPrefix);
  if (report.origin == Origin::kMemory && !is_builtin) {
    return Unavailable("no packed file could be written");
  }
  return absl::OkStatus();
}

}  // namespace hadal
