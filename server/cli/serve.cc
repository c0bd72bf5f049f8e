#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <absl/strings/str_format.h>

#include "base/log.h"
#include "engine/checkpoint/checkpoint.h"
#include "server/cli/commands.h"
#include "server/cli/exit_code.h"
#include "server/cli/model/engine.h"
#include "server/cli/model/text_model.h"
#include "server/generation/served_model.h"
#include "server/operations/health.h"
#include "server/operations/server_metrics.h"
#include "server/serving/lifecycle.h"
#include "server/serving/operations_server.h"
#include "server/serving/server.h"

namespace hadal {
namespace {

// Without names, that of the folder: "DeepSeek-V3" for /models/DeepSeek-V3/, "demo" for
// builtin:demo.
std::vector<std::string> NamesOf(const ServerConfig& config) {
  if (!config.model.names.empty()) {
    return config.model.names;
  }
  std::string path = config.model.path;
  while (path.size() > 1 && path.ends_with('/')) {
    path.pop_back();
  }
  return {path.substr(path.find_last_of("/:") + 1)};
}

// Layers with experts follow those without; MTP layers do not run.
ExpertShape ExpertShapeOf(const ModelConfig& model) {
  ExpertShape shape = {.num_experts = model.n_routed_experts};
  for (int64_t layer = 0; layer < model.num_hidden_layers; ++layer) {
    shape.num_layers += model.IsMoeLayer(layer) ? 1 : 0;
  }
  shape.first_layer = model.num_hidden_layers - shape.num_layers;
  return shape;
}

absl::StatusOr<ServedModel> MakeServedModel(const ServerConfig& config,
                                            const TextModel& text,
                                            int64_t max_tokens) {
  ASSIGN_OR_RETURN(const std::optional<TokenId> bos, CheckpointFault(text.BosTokenId()));
  const absl::StatusOr<ChatFormat> format = text.DetectFormat();
  if (!format.ok()) {
    Log(LogLevel::kWarning,
        absl::StrFormat("chats will be refused: %s", std::string(MessageOf(format.status()))));
  }
  return ServedModel({.names = NamesOf(config),
                      .tokenizer = text.tokenizer(),
                      .format = format.ok() ? std::optional(*format) : std::nullopt,
                      .bos = bos,
                      .eos = text.EosTokenIds(),
                      .vocab_size = text.config().vocab_size,
                      .max_tokens = max_tokens});
}

// What /readyz?verbose says of the kernels.
Health::Check KernelCheck(const LocalExecutor& executor) {
  Health::Check check = {.name = "kernels"};
  for (const KernelHealth& kernel : executor.kernel_health()) {
    if (kernel.num_faults > 0) {
      check.ok = check.ok && !kernel.demoted;
      check.detail += absl::StrFormat("%s: %d faults, runs on %s; ",
                                      std::string(kernel.op),
                                      kernel.num_faults,
                                      std::string(kernel.implementation));
    }
  }
  return check;
}

// What a newcomer looks for.
void LogAddresses(const ServerConfig& config,
                  const std::string& name,
                  const Server& server,
                  const OperationsServer& operations) {
  std::string text = absl::StrFormat("serving %s on %s://%s:%d; probes and metrics on http://%s:%d",
                                     name,
                                     config.http.tls_certificate.empty() ? "http" : "https",
                                     config.http.host,
                                     server.port(),
                                     config.operations.host,
                                     operations.port());
  if (server.grpc_port().has_value()) {
    text += absl::StrFormat("; gRPC on %s:%d", config.grpc.host, *server.grpc_port());
  }
  Log(LogLevel::kInfo, text);
}

}  // namespace

absl::Status RunCommand(const ServeOptions& options) {
  const ServerConfig& config = options.config;
  TerminationSignals signals;  // before there are threads
  SetLogLevel(config.operations.log_level);
  std::printf("%s", options.effective_yaml.c_str());
  std::fflush(stdout);
  for (const std::string& warning : ConfigWarnings(config)) {
    Log(LogLevel::kWarning, warning);
  }
  const SteadyClock clock;
  Health health;

  if (config.model.path == kDemoModel) {
    Log(LogLevel::kInfo, "serving the demo model that is built in; --model names another");
  }

  // 1. What is wrong with the files shows before anything is started.
  ASSIGN_OR_RETURN(const TextModel text, TextModel::Open(config.model.path));
  ASSIGN_OR_RETURN(Checkpoint checkpoint, CheckpointFault(Checkpoint::Open(config.model.path)));

  // 2. Probes answer while the weights are read, and go before the engine that they speak of.
  Engine engine;
  const std::unique_ptr<ServerMetrics> metrics =
      ServerMetrics::Create({.version = HADAL_VERSION,
                             .model = NamesOf(config).front(),
                             .max_running_sequences = config.scheduling.max_running_sequences,
                             .max_requests = config.scheduling.max_requests});
  ASSIGN_OR_RETURN(const std::unique_ptr<OperationsServer> operations,
                   OperationsServer::Start(
                       {.config = config, .clock = clock, .health = health, .metrics = *metrics}));
  const TimePoint load_begin = clock.Now();
  ASSIGN_OR_RETURN(engine,
                   LoadEngine(config, std::move(checkpoint), [&](int64_t done, int64_t total) {
                     health.SetLoadProgress(done, total);
                     signals.ExitIfAny();
                   }));
  metrics->SetLoadTime(clock.Now() - load_begin);
  metrics->SetCache({.dtype = std::string(NameOf(engine.cache_dtype)),
                     .block_size = kBlockSize,
                     .num_blocks = engine.limits.num_blocks});
  if (text.config().n_routed_experts > 0) {
    metrics->SetExperts(ExpertShapeOf(text.config()));
  }
  metrics->SetKernels([&executor = *engine.executor] { return executor.kernel_health(); });
  health.AddCheck([&executor = *engine.executor] { return KernelCheck(executor); });

  // 3. Serving, until told otherwise.
  ASSIGN_OR_RETURN(const ServedModel model,
                   MakeServedModel(config, text, engine.limits.max_sequence_tokens));
  ASSIGN_OR_RETURN(const std::unique_ptr<Server> server,
                   Server::Start({.config = config,
                                  .model = model,
                                  .executor = *engine.executor,
                                  .limits = engine.limits,
                                  .clock = clock,
                                  .health = health,
                                  .metrics = *metrics,
                                  .version = HADAL_VERSION,
                                  .on_stuck = [](Duration /*step_age*/) { ExitStuck(); }}));
  LogAddresses(config, model.names().front(), *server, *operations);
  const ServingEnd end = ServeUntilSignalled(config.operations, clock, *server, signals);
  return end == ServingEnd::kDrained ? absl::OkStatus() : Cancelled("ended by a second signal");
}

}  // namespace hadal
