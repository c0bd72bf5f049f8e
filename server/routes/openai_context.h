#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "server/generation/admission.h"
#include "server/generation/generation.h"
#include "server/generation/generation_params.h"
#include "server/openai/responses.h"
#include "server/operations/health.h"
#include "server/routes/answer_pump.h"
#include "server/routes/call.h"

namespace hadal {

/// What the routes of the API share. Outlives the router; any thread.
struct OpenAiContext {
  const GenerationContext& generation;
  Admission& admission;
  const Health& health;
  GenerationLimits limits;
  Duration keep_alive_interval;
  int64_t created = 0;             // seconds since 1970, when the model was loaded
  std::string system_fingerprint;  // changes when answers may

  [[nodiscard]] const ServedModel& model() const { return generation.model; }

  /// The head of a new answer, whose id begins with `id_prefix`. The model is called what the
  /// request called it.
  [[nodiscard]] AnswerHead NewHead(std::string_view id_prefix, const std::string& name) const;

  /// Starts a generation that wakes the call's coroutine.
  absl::StatusOr<std::unique_ptr<Generation>> Start(Call& call,
                                                    Prompt prompt,
                                                    const GenerationParams& params,
                                                    AnswerKind kind,
                                                    Admission::Reservation reservation) const;

  [[nodiscard]] AnswerPump NewPump(Call& call,
                                   std::vector<std::unique_ptr<Generation>> generations,
                                   int32_t n) const;
};

}  // namespace hadal
