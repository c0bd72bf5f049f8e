#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/status.h"
#include "scheduler/scheduler.h"
#include "server/generation/admission.h"
#include "server/generation/generation.h"
#include "server/generation/generation_params.h"
#include "server/grpc/live_calls.h"
#include "server/grpc/stream_worker.h"
#include "server/operations/auth.h"
#include "server/operations/health.h"
#include "server/operations/server_metrics.h"

namespace hadal {

/// What the calls share. Outlives them; any thread.
struct GrpcContext {
  const GenerationContext& generation;
  Admission& admission;
  const Health& health;
  const ApiKeys& keys;
  GenerationLimits limits;
  Duration stall_timeout;
  bool logs_requests;
  std::function<SchedulerCounts()> scheduler_counts;
  LiveCalls& calls;
  StreamWorker& worker;

  [[nodiscard]] const ServedModel& model() const { return generation.model; }
  [[nodiscard]] const Clock& clock() const { return generation.clock; }
  [[nodiscard]] ServerMetrics& metrics() const { return generation.metrics; }
};

/// What is counted and logged of a call.
struct CallRecord {
  RouteName route = RouteName::kGrpcOther;
  TenantId tenant{};
  std::string request_id = {};
  std::string client_address = {};
  TimePoint arrival{};
  std::string finish_reason = {};  // of the first choice; empty: no generation
  Usage usage = {};
  std::optional<GenerationTimes> times = {};  // once the generation has ended
};

/// Counts a call that has ended, and logs it unless that is off. Any thread.
void CountCall(const GrpcContext& context, const CallRecord& record, const absl::Status& status);

/// 24 letters and digits, by chance.
std::string FreshId();

}  // namespace hadal
