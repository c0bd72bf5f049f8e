#pragma once

#include "base/clock.h"
#include "server/config/server_config.h"
#include "server/serving/server.h"

namespace hadal {

/// SIGTERM and SIGINT as something to wait for instead of the process' end. Made before the
/// process' other threads, which then leave these signals alone. SIGPIPE is ignored.
class TerminationSignals {
 public:
  TerminationSignals();

  /// Waits for one until `deadline`; whether one came. One thread.
  bool Wait(TimePoint deadline);

  /// Ends the process when one has come: for the time before there is anything to drain.
  void ExitIfAny();
};

/// How serving ended.
enum class ServingEnd : int8_t {
  kDrained,  // all that was taken was finished, or its time was up
  kAborted,  // by a second signal
};

/// Serves until a signal comes, then drains: not ready at once, still taking requests for
/// drain_grace, refusing them from then on, waiting for those that run until shutdown_timeout, and
/// ending what is left with an error. A second signal ends everything at once. Either way the
/// process does not wait for a step that does not end: it exits from here, as main would have done.
ServingEnd ServeUntilSignalled(const ServerConfig::Operations& config,
                               const Clock& clock,
                               Server& server,
                               TerminationSignals& signals);

/// Ends the process because a step is stuck: writes all stacks, gives open streams a moment to say
/// that they end, and exits with 86. Nothing can be saved: the engine's threads do not answer.
[[noreturn]] void ExitStuck();

}  // namespace hadal
