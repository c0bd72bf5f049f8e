// The only file that knows CLI11, which throws: all it throws ends here.

#include "server/cli/parse_arguments.h"

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>
#include <absl/strings/str_format.h>

#include "server/config/config_file.h"
#include "server/config/config_value.h"

namespace hadal {
namespace {

const std::map<std::string, DType>& CacheDTypes() {
  static const std::map<std::string, DType> kNames = {
      {"bf16", DType::kBf16}, {"f32", DType::kF32}, {"int8", DType::kI8}, {"fp8", DType::kFp8E4m3}};
  return kNames;
}

const std::map<std::string, WeightPacking>& Packings() {
  static const std::map<std::string, WeightPacking> kNames = [] {
    std::map<std::string, WeightPacking> names;
    for (const WeightPacking packing : kWeightPackings) {
      names.emplace(NameOf(packing), packing);
    }
    return names;
  }();
  return kNames;
}

// A number within bounds. CLI::Range would let NaN pass.
CLI::Validator NumberIn(double min, double max) {
  const std::string range = absl::StrFormat("[%g, %g]", min, max);
  return {[=](std::string& text) -> std::string {
            double number = 0;
            if (CLI::detail::lexical_cast(text, number) && number >= min && number <= max) {
              return {};
            }
            return absl::StrFormat("expected a number in %s, found %s", range, text);
          },
          "in " + range};
}

CLI::Option* AddModelFlag(CLI::App& app, std::string& model) {
  return app
      .add_option("--model", model, "Checkpoint folder: config.json, tokenizer.json, *.safetensors")
      ->type_name("DIR")
      ->capture_default_str();
}

// `CacheDType` is DType, or an optional of it.
template <typename CacheDType>
void AddCacheDTypeFlag(CLI::App& app, const std::string& by_default, CacheDType& cache_dtype) {
  app.add_option(
         "--cache-dtype", cache_dtype, "Element type of the latent cache; by default " + by_default)
      ->transform(CLI::CheckedTransformer(CacheDTypes(), CLI::ignore_case)
                      .description("{bf16,f32,int8,fp8}"))
      ->type_name("TYPE");
}

CLI::Option* AddWeightsFlag(CLI::App& app, WeightPacking& weights) {
  return app
      .add_option("--weights",
                  weights,
                  "Format of large matrices: as published, or packed at the first start, for all "
                  "later ones; by default native")
      ->transform(CLI::CheckedTransformer(Packings()).description("{native,int8,int4}"))
      ->type_name("FORMAT");
}

void AddEngineFlags(CLI::App& app, ModelOptions& options) {
  AddWeightsFlag(app, options.weights);
  app.add_option("--threads", options.threads, "Kernel threads; 0: one for each usable core")
      ->check(CLI::Range(0, 4096))
      ->capture_default_str();
  app.add_option("--kernels",
                 options.kernels,
                 "Back end, and single ops replaced: cpu-avx2,mla_attention=reference")
      ->capture_default_str();
  app.add_flag_callback(
      "--verbose",
      [&options] { options.log_level = LogLevel::kInfo; },
      "Log to stderr which kernels run and how long loading takes");
}

CLI::Option* AddCacheMemoryFlag(CLI::App& app,
                                const std::string& what,
                                std::optional<CacheMemory>& memory) {
  const auto check = [](const std::string& text) {
    return std::string(ParseCacheMemory(text).status().message());  // empty when OK
  };
  const auto set = [&memory](const std::string& text) { memory = *ParseCacheMemory(text); };
  return app
      .add_option_function<std::string>(
          "--cache-memory", set, what + " 8GiB, or 50% of what weights and steps leave")
      ->check(check)
      ->type_name("SIZE|PERCENT");
}

void AddModelFlags(CLI::App& app, ModelOptions& options) {
  AddModelFlag(app, options.model);
  AddEngineFlags(app, options);
  AddCacheDTypeFlag(app, "f32, which rounds nothing", options.cache_dtype);
}

void AddJsonFlag(CLI::App& app, OutputFormat& format) {
  app.add_flag_callback(
      "--json", [&format] { format = OutputFormat::kJson; }, "Print one JSON object");
}

void AddSamplingFlags(CLI::App& app, GenerateOptions& options) {
  SamplingParams& sampling = options.sampling;
  app.add_option("--max-tokens", options.max_tokens, "Most tokens to generate")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 31U))
      ->capture_default_str();
  app.add_option("--temperature", sampling.temperature, "0 takes the most probable token")
      ->capture_default_str();
  app.add_option("--top-p", sampling.top_p, "Keep the fewest tokens with this much probability")
      ->capture_default_str();
  app.add_option("--top-k", sampling.top_k, "Keep the k most probable tokens; 0 keeps all")
      ->capture_default_str();
  app.add_option("--min-p", sampling.min_p, "Keep tokens with this share of the best probability")
      ->capture_default_str();
  app.add_option("--presence-penalty", sampling.presence_penalty)->capture_default_str();
  app.add_option("--frequency-penalty", sampling.frequency_penalty)->capture_default_str();
  app.add_option("--repetition-penalty", sampling.repetition_penalty)->capture_default_str();
  app.add_option("--logit-bias", sampling.logit_bias, "Add BIAS to the logit of ID; repeatable")
      ->type_name("ID BIAS");
  app.add_option("--seed", options.seed, "Makes sampling repeatable; fresh by default")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--logprobs",
                 sampling.num_logprobs,
                 "With --json, log-probabilities of each token and of the K best")
      ->check(CLI::Range(0, 1 << 20U))
      ->type_name("K");
  app.add_option("--stop", options.stop_strings, "Stop before this text; repeatable")
      ->type_name("TEXT")
      ->allow_extra_args(false);
  app.add_option("--stop-token-ids", options.stop_token_ids, "Stop at these tokens")
      ->delimiter(',')
      ->type_name("ID,...");
  app.add_flag("--ignore-eos", options.ignore_eos, "Go on after the end-of-sequence token");
}

void AddGenerate(CLI::App& app, GenerateOptions& options) {
  AddModelFlags(app, options.model);
  CLI::Option_group* source = app.add_option_group("prompt");
  source->add_option("--prompt", options.prompt.text, "Text to continue")->type_name("TEXT");
  source
      ->add_option("--chat",
                   options.prompt.chat_file,
                   "Conversation: JSON with messages, tools, thinking as in the API")
      ->type_name("JSON_FILE");
  source->add_option("--ids", options.prompt.ids_file, "Token ids to continue; no tokenizer needed")
      ->type_name("JSON_FILE");
  source->require_option(1);
  AddSamplingFlags(app, options);
  AddJsonFlag(app, options.format);
  app.get_option("--logprobs")->needs("--json");
  app.get_option("--stop")->excludes("--ids");
}

void AddInspect(CLI::App& app, InspectOptions& options) {
  AddModelFlag(app, options.model);
  AddCacheDTypeFlag(app, "f32 for f32 checkpoints, else bf16", options.cache_dtype);
  app.add_option("--context",
                 options.context_tokens,
                 "Tokens to plan cache memory for; 0: the model's whole context")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 28U))
      ->capture_default_str();
  AddCacheMemoryFlag(app, "Plan for a cache of", options.cache_memory)->excludes("--context");
  app.add_option("--kernels", options.kernels, "Back end whose memory the plan is for")
      ->capture_default_str();
  AddJsonFlag(app, options.format);
}

void AddTokenize(CLI::App& app, TokenizeOptions& options) {
  AddModelFlag(app, options.model);
  CLI::Option_group* source = app.add_option_group("input");
  source->add_option("--text", options.text)->type_name("TEXT");
  source->add_option("--file", options.text_file, "UTF-8 text")->type_name("FILE");
  source->add_option("--chat", options.chat_file, "Conversation, as for generate")
      ->type_name("JSON_FILE");
  source->require_option(1);
  AddJsonFlag(app, options.format);
}

void AddDetokenize(CLI::App& app, DetokenizeOptions& options) {
  AddModelFlag(app, options.model);
  app.add_option("--ids", options.ids)->delimiter(',')->type_name("ID,...")->required();
}

void AddScore(CLI::App& app, ScoreOptions& options) {
  AddModelFlags(app, options.model);
  CLI::Option_group* source = app.add_option_group("input");
  source->add_option("--file", options.text_file, "UTF-8 text")->type_name("TEXT_FILE");
  source->add_option("--ids", options.ids_file, "Token ids; no tokenizer needed")
      ->type_name("JSON_FILE");
  source->require_option(1);
  AddJsonFlag(app, options.format);
}

void AddLoadFlags(CLI::App& app, BenchOptions& options) {
  constexpr int64_t kMaxTokens = int64_t{1} << 30U;
  CLI::Option* const prompts = app.add_option("--prompts", options.num_prompts, "Requests")
                                   ->check(CLI::Range(int64_t{1}, int64_t{1'000'000}))
                                   ->capture_default_str();
  CLI::Option* const prompt_tokens =
      app.add_option("--prompt-tokens", options.prompt_tokens, "Tokens of each prompt")
          ->check(CLI::Range(int64_t{1}, kMaxTokens))
          ->capture_default_str();
  CLI::Option* const output_tokens =
      app.add_option("--output-tokens", options.output_tokens, "Tokens to generate for each prompt")
          ->check(CLI::Range(int64_t{1}, kMaxTokens))
          ->capture_default_str();
  app.add_option("--lengths",
                 options.lengths_file,
                 "Instead, a request for each object with prompt_tokens and output_tokens: a JSON "
                 "array, or JSON lines")
      ->type_name("JSON_FILE")
      ->excludes(prompts)
      ->excludes(prompt_tokens)
      ->excludes(output_tokens);
  app.add_option("--chats",
                 options.chats_file,
                 "Instead of random prompts, those of chat requests, whose answers may end by "
                 "themselves: a JSON array")
      ->type_name("JSON_FILE")
      ->excludes(prompts)
      ->excludes(prompt_tokens)
      ->excludes("--lengths");
  CLI::Option* const concurrency =
      app.add_option("--concurrency", options.concurrency, "Requests in flight")
          ->check(CLI::Range(int64_t{1}, int64_t{1'000'000}))
          ->capture_default_str();
  app.add_option("--rate",
                 options.rate,
                 "Instead, requests a second that arrive at random, however many wait")
      ->check(NumberIn(1e-3, 1e6))
      ->excludes(concurrency);
  app.add_option("--shared-prefix",
                 options.shared_prefix,
                 "Share of each prompt that is common to all requests")
      ->check(NumberIn(0, 1))
      ->capture_default_str();
  app.add_option("--seed", options.seed, "Of prompts, arrivals and sampling")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--temperature", options.temperature, "0 takes the most probable token")
      ->check(NumberIn(0, 100))
      ->capture_default_str();
}

void AddBench(CLI::App& app, BenchOptions& options) {
  AddModelFlag(app, options.model.model);
  AddEngineFlags(app, options.model);
  AddCacheDTypeFlag(app, "f32 for f32 checkpoints, else bf16", options.cache_dtype);
  AddLoadFlags(app, options);
  AddCacheMemoryFlag(
      app, "By default enough for all sequences that can run; else", options.cache_memory);
  app.add_option("--max-step-tokens", options.max_step_tokens, "Most tokens of a step")
      ->check(CLI::Range(int64_t{1}, int64_t{65536}))
      ->capture_default_str();
  app.add_option("--max-sequences",
                 options.max_sequences,
                 "Most sequences that run at a time; by default as many as are in flight, or 64")
      ->check(CLI::Range(int64_t{1}, int64_t{65536}));
  app.add_option("--target-step-ms",
                 options.target_step_ms,
                 "Prompts are cut so that a step beside running sequences takes about this long")
      ->check(NumberIn(0.1, 60'000))
      ->capture_default_str();
  app.add_option(
         "--draft-tokens",
         options.draft_tokens,
         "Tokens that the model's MTP module guesses ahead: auto (as many as pay) or 0 to 8")
      ->check(CLI::IsMember({"auto", "0", "1", "2", "3", "4", "5", "6", "7", "8"}))
      ->capture_default_str();
  AddJsonFlag(app, options.format);
}

// What the flags of `serve` say, before they are put together with the file.
struct ServeFlags {
  struct Value {
    const ConfigKey* key;
    std::vector<std::string> texts;
  };

  std::string config_file;
  std::vector<Value> values;
};

// What help shows as the default of a key: nothing, a text without quotes, or a value.
std::string DefaultOf(const ConfigKey& key) {
  const ServerConfig defaults;
  if (const auto* text = std::get_if<TextField>(&key.field)) {
    return text->get(defaults);
  }
  return std::holds_alternative<ListField>(key.field) ? "" : YamlOf(key, defaults);
}

void AddBoolKey(CLI::App& app, const ConfigKey& key, ServeFlags& flags) {
  const std::string name(key.flag.substr(2));
  app.add_flag_function(
         "--" + name + ",!--no-" + name,
         [&flags, &key](int64_t count) {
           flags.values.push_back({.key = &key, .texts = {count > 0 ? "true" : "false"}});
         },
         absl::StrFormat("%s; %s by default", key.help, DefaultOf(key) == "true" ? "on" : "off"))
      ->group(std::string(key.section));
}

void AddKey(CLI::App& app, const ConfigKey& key, ServeFlags& flags) {
  const auto check = [&key](const std::string& text) {
    ServerConfig unused;
    return std::string(MessageOf(SetValue(key, std::span(&text, 1), unused)));
  };
  const auto set = [&key, &flags](const std::vector<std::string>& texts) {
    flags.values.push_back({.key = &key, .texts = texts});
  };
  const bool is_list = std::holds_alternative<ListField>(key.field);
  app.add_option_function<std::vector<std::string>>(
         std::string(key.flag), set, std::string(key.help) + (is_list ? "; repeatable" : ""))
      ->check(check)
      ->type_name(std::string(key.unit))
      ->default_str(DefaultOf(key))
      ->group(std::string(key.section))
      ->multi_option_policy(is_list ? CLI::MultiOptionPolicy::TakeAll
                                    : CLI::MultiOptionPolicy::Throw)
      ->expected(1, is_list ? CLI::detail::expected_max_vector_size : 1)
      ->allow_extra_args(false);
}

// The command line is the flags of all keys of the configuration.
void AddServe(CLI::App& app, std::optional<ServeFlags>& chosen) {
  CLI::App* const serve = app.add_subcommand("serve", "Serve a model over HTTP");
  const auto flags = std::make_shared<ServeFlags>();
  serve
      ->add_option("--config",
                   flags->config_file,
                   "Configuration (YAML); flags win over it. What runs is printed at start, in its "
                   "form")
      ->type_name("FILE");
  for (const ConfigKey& key : ConfigKeys()) {
    if (std::holds_alternative<BoolField>(key.field)) {
      AddBoolKey(*serve, key, *flags);
    } else {
      AddKey(*serve, key, *flags);
    }
  }
  serve->callback([flags, &chosen] { chosen = *flags; });
}

// Defaults, then the file, then flags.
absl::StatusOr<ServeOptions> Resolve(const ServeFlags& flags) {
  EffectiveConfig config;
  if (!flags.config_file.empty()) {
    RETURN_IF_ERROR(CheckpointFault(ApplyConfigFile(flags.config_file, config)));
  }
  for (const ServeFlags::Value& value : flags.values) {
    RETURN_IF_ERROR(
        Annotate(config.Set(*value.key, value.texts, ConfigSource::kFlag), value.key->flag));
  }
  RETURN_IF_ERROR(ValidateServerConfig(config.config()));
  return ServeOptions{.config = config.config(), .effective_yaml = config.ToYaml()};
}

void AddDoctor(CLI::App& app, DoctorOptions& options) {
  AddModelFlag(app, options.model.model);
  app.get_option("--model")->description(
      "Checkpoint folder whose widths to test; only config.json");
  AddEngineFlags(app, options.model);
  AddJsonFlag(app, options.format);
}

void AddQuantize(CLI::App& app, QuantizeOptions& options) {
  AddModelFlags(app, options.model);
  app.get_option("--weights")
      ->description("Format of large matrices, int8 or int4; the rest stays as it is")
      ->required();
  CLI::Option_group* source = app.add_option_group("input");
  source->add_option("--file", options.text_file, "Measure the loss of quality on this UTF-8 text")
      ->type_name("TEXT_FILE");
  source
      ->add_option(
          "--chats",
          options.chats_file,
          "Or on answers of the model, as published, to these chat requests: a JSON array; "
          "the demo model has its own")
      ->type_name("JSON_FILE");
  source->require_option(0, 1);
  AddJsonFlag(app, options.format);
}

// Adds a subcommand that, when chosen, puts its options into `chosen`.
template <typename Options>
void AddCommand(CLI::App& app,
                const std::string& name,
                const std::string& description,
                void (*add_flags)(CLI::App&, Options&),
                std::optional<Command>& chosen) {
  CLI::App* subcommand = app.add_subcommand(name, description);
  const auto options = std::make_shared<Options>();
  add_flags(*subcommand, *options);
  subcommand->callback([options, &chosen] { chosen = *options; });
}

}  // namespace

std::variant<Command, ExitCode> ParseArguments(std::span<char* const> arguments) {
  std::optional<Command> chosen;
  std::optional<ServeFlags> serve;
  try {
    CLI::App app("Hadal: an inference server for the DeepSeek family of language models", "hadal");
    app.set_version_flag("--version", HADAL_VERSION);
    app.require_subcommand(1);
    AddCommand(app, "generate", "Continue a prompt or a conversation", &AddGenerate, chosen);
    AddCommand(app, "inspect", "Show what a checkpoint holds and needs", &AddInspect, chosen);
    AddCommand(
        app, "tokenize", "Show the tokens of a text or a conversation", &AddTokenize, chosen);
    AddCommand(app, "detokenize", "Show the text of tokens", &AddDetokenize, chosen);
    AddCommand(app, "score", "Log-probability of every token of a text", &AddScore, chosen);
    AddCommand(app, "bench", "Measure throughput and latency under load", &AddBench, chosen);
    AddCommand(app, "quantize", "Pack weights ahead of time", &AddQuantize, chosen);
    AddCommand(app, "doctor", "Test all kernels on this machine", &AddDoctor, chosen);
    AddServe(app, serve);
    try {
      app.parse(static_cast<int>(arguments.size()), arguments.data());
    } catch (const CLI::ParseError& error) {
      return app.exit(error) == 0 ? ExitCode::kOk : ExitCode::kUsage;
    }
  } catch (const std::exception& error) {
    return Finish(InvalidArgument("%s", error.what()));
  }
  if (serve.has_value()) {
    absl::StatusOr<ServeOptions> options = Resolve(*serve);
    if (!options.ok()) {
      return Finish(options.status());
    }
    return Command(*std::move(options));
  }
  return *chosen;
}

}  // namespace hadal
