#include "server/serving/lifecycle.h"

#include <chrono>
#include <csignal>
#include <ctime>
#include <unistd.h>

#include <absl/time/clock.h>
#include <absl/time/time.h>

#include "base/log.h"
#include "server/operations/stack_dump.h"
#include "server/serving/configuration.h"

namespace hadal {
namespace {

constexpr int kStuckExitCode = 86;
constexpr int kAbortedExitCode = 1;
constexpr int kSignalledExitCode = 128 + SIGTERM;  // what a shell says of a process ended by it
constexpr Duration kAbortTime = std::chrono::seconds(1);        // for error events to be sent
constexpr Duration kStepTime = std::chrono::milliseconds(500);  // for a step to end
constexpr Duration kPollInterval = std::chrono::milliseconds(50);
constexpr absl::Duration kStuckTime = absl::Seconds(2);  // for probes to be asked once more

sigset_t TerminationSet() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  return set;
}

}  // namespace

TerminationSignals::TerminationSignals() {
  const sigset_t set = TerminationSet();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

bool TerminationSignals::Wait(TimePoint deadline) {
  const sigset_t set = TerminationSet();
  while (true) {
    const TimePoint now = SteadyClock().Now();
    const auto left =
        std::chrono::duration_cast<std::chrono::nanoseconds>(std::max(deadline, now) - now);
    const timespec timeout = {.tv_sec = static_cast<time_t>(left.count() / 1'000'000'000),
                              .tv_nsec = static_cast<long>(left.count() % 1'000'000'000)};
    if (sigtimedwait(&set, nullptr, &timeout) > 0) {
      return true;
    }
    if (errno != EINTR) {  // EAGAIN: none came
      return false;
    }
  }
}

void TerminationSignals::ExitIfAny() {
  if (Wait(TimePoint::min())) {
    Log(LogLevel::kInfo, "told to end while starting");
    _exit(kSignalledExitCode);
  }
}

ServingEnd ServeUntilSignalled(const ServerConfig::Operations& config,
                               const Clock& clock,
                               Server& server,
                               TerminationSignals& signals) {
  const auto end_all = [&](ServingEnd end) {
    server.Abort();
    server.WaitUntilIdle(clock.Now() + kAbortTime);
    if (!server.WaitForStep(clock.Now() + kStepTime)) {
      Log(LogLevel::kWarning, "a step is still under way: exiting without its end");
      _exit(end == ServingEnd::kDrained ? 0 : kAbortedExitCode);
    }
    return end;
  };
  const auto abort = [&] {
    Log(LogLevel::kWarning, "a second signal: ending what runs");
    return end_all(ServingEnd::kAborted);
  };
  while (!signals.Wait(clock.Now() + std::chrono::hours(1))) {
  }
  // 1. Balancers look elsewhere; what they still send is served.
  Log(LogLevel::kInfo, "draining");
  server.AnnounceDrain();
  if (signals.Wait(clock.Now() + SecondsToDuration(config.drain_grace))) {
    return abort();
  }
  // 2. Nothing new; what runs is finished.
  server.BeginDrain();
  const TimePoint deadline = clock.Now() + SecondsToDuration(config.shutdown_timeout);
  while (!server.WaitUntilIdle(std::min(clock.Now() + kPollInterval, deadline))) {
    if (signals.Wait(clock.Now())) {
      return abort();
    }
    if (clock.Now() >= deadline) {
      Log(LogLevel::kWarning, "shutdown_timeout has passed: ending what runs");
      return end_all(ServingEnd::kDrained);
    }
  }
  Log(LogLevel::kInfo, "drained");
  return ServingEnd::kDrained;
}

void ExitStuck() {
  DumpStacks();
  absl::SleepFor(kStuckTime);
  Log(LogLevel::kError, "the engine is stuck: exiting");
  _exit(kStuckExitCode);
}

}  // namespace hadal
