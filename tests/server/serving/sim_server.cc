// hadal-sim-server CONFIG TOKENIZER_DIR [NAME=VALUE...]: the whole server around a simulated engine
// whose steps take real time. What clients see is real but for the text, which is random.
//
// Names, with their defaults: see Simulation below. Prints "serving PORT OPS_PORT GRPC_PORT" when
// it serves. Ends and exits as `hadal serve` does.

#include <cstdio>
#include <map>
#include <span>
#include <string>

#include <absl/strings/numbers.h>

#include "base/check.h"
#include "base/log.h"
#include "engine/text/chat/prompt_tokens.h"
#include "server/config/config_file.h"
#include "server/config/effective_config.h"
#include "server/operations/health.h"
#include "server/operations/server_metrics.h"
#include "server/serving/lifecycle.h"
#include "server/serving/operations_server.h"
#include "server/serving/server.h"
#include "tests/server/serving/paced_executor.h"

namespace hadal {
namespace {

using Simulation = std::map<std::string, double>;

Simulation DefaultSimulation() {
  return {{"fixed_us", 1000},
          {"per_token_us", 10},
          {"per_context_token_us", 0},
          {"per_sample_us", 0},
          {"context", 8192},
          {"num_blocks", 8192},
          {"vocab", 100'000},
          {"seed", 0},
          {"step_failure", 0},
          {"not_finite", 0},
          {"poison_token", -1},
          {"hanging_step", -1},
          {"hanging_seconds", 60}};
}

absl::StatusOr<Simulation> ReadSimulation(std::span<char* const> arguments) {
  Simulation simulation = DefaultSimulation();
  for (const std::string argument : arguments) {
    const size_t equals = argument.find('=');
    const auto found = simulation.find(argument.substr(0, equals));
    if (equals == std::string::npos || found == simulation.end() ||
        !absl::SimpleAtod(argument.substr(equals + 1), &found->second)) {
      return InvalidArgument("%s: expected NAME=NUMBER of a known name", argument);
    }
  }
  return simulation;
}

PacedExecutor::Args ExecutorArgs(const Simulation& simulation) {
  const auto get = [&simulation](const char* name) { return simulation.at(name); };
  return {.num_blocks = static_cast<int64_t>(get("num_blocks")),
          .vocab_size = static_cast<int32_t>(get("vocab")),
          .cost = {.fixed_us = get("fixed_us"),
                   .per_token_us = get("per_token_us"),
                   .per_context_token_us = get("per_context_token_us"),
                   .per_sample_us = get("per_sample_us")},
          .faults = {.seed = static_cast<uint64_t>(get("seed")),
                     .step_failure = get("step_failure"),
                     .not_finite = get("not_finite"),
                     .poison_token = static_cast<TokenId>(get("poison_token"))},
          .hanging_step = static_cast<int64_t>(get("hanging_step")),
          .hang_duration = std::chrono::duration_cast<Duration>(
              std::chrono::duration<double>(get("hanging_seconds")))};
}

absl::StatusOr<ServingEnd> Run(std::span<char* const> arguments) {
  if (arguments.size() < 3) {
    return InvalidArgument("usage: hadal-sim-server CONFIG TOKENIZER_DIR [NAME=VALUE...]");
  }
  EffectiveConfig effective;
  RETURN_IF_ERROR(ApplyConfigFile(arguments[1], effective));
  ASSIGN_OR_RETURN(const Simulation simulation, ReadSimulation(arguments.subspan(3)));
  const ServerConfig& config = effective.config();
  SetLogLevel(config.operations.log_level);
  TerminationSignals signals;
  const SteadyClock clock;
  Health health;
  const std::unique_ptr<ServerMetrics> metrics =
      ServerMetrics::Create({.version = "simulated",
                             .model = "sim",
                             .max_running_sequences = config.scheduling.max_running_sequences,
                             .max_requests = config.scheduling.max_requests});
  ASSIGN_OR_RETURN(const auto operations,
                   OperationsServer::Start(
                       {.config = config, .clock = clock, .health = health, .metrics = *metrics}));
  ASSIGN_OR_RETURN(const Tokenizer tokenizer,
                   Tokenizer::FromFile(std::string(arguments[2]) + "/tokenizer.json"));
  const ServedModel model({.names = {"sim"},
                           .tokenizer = tokenizer,
                           .format = ChatFormat::kV3,
                           .bos = tokenizer.FindAddedToken(kBeginOfSentence),
                           .eos = {*tokenizer.FindAddedToken(kEndOfSentence)},
                           .vocab_size = tokenizer.vocab_size(),
                           .max_tokens = static_cast<int64_t>(simulation.at("context"))});
  PacedExecutor executor(ExecutorArgs(simulation));
  metrics->SetCache({.dtype = "bf16",
                     .block_size = kBlockSize,
                     .num_blocks = static_cast<int64_t>(simulation.at("num_blocks"))});
  ASSIGN_OR_RETURN(
      const auto server,
      Server::Start({.config = config,
                     .model = model,
                     .executor = executor,
                     .limits = {.vocab_size = model.vocab_size(),
                                .max_sequence_tokens = model.max_tokens(),
                                .num_blocks = static_cast<int64_t>(simulation.at("num_blocks"))},
                     .clock = clock,
                     .health = health,
                     .metrics = *metrics,
                     .version = "simulated",
                     .on_stuck = [](Duration /*step_age*/) { ExitStuck(); }}));
  std::printf(
      "serving %d %d %d\n", server->port(), operations->port(), server->grpc_port().value_or(0));
  std::fflush(stdout);
  return ServeUntilSignalled(config.operations, clock, *server, signals);
}

}  // namespace
}  // namespace hadal

int main(int argc, char** argv) {
  const auto end = hadal::Run(std::span(argv, static_cast<size_t>(argc)));
  if (!end.ok()) {
    std::fprintf(stderr, "hadal-sim-server: %s\n", end.status().ToString().c_str());
    return 2;
  }
  return *end == hadal::ServingEnd::kDrained ? 0 : 1;
}
