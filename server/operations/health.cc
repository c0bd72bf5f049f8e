#include "server/operations/health.h"

#include <algorithm>
#include <utility>

#include <absl/strings/str_format.h>

namespace hadal {
namespace {

// One line of a verbose answer, in the form that Kubernetes' own components use.
std::string LineOf(const Health::Check& check) {
  return absl::StrFormat("[%s]%s %s%s%s\n",
                         check.ok ? "+" : "-",
                         check.name,
                         check.ok ? "ok" : "failed",
                         check.detail.empty() ? "" : ": ",
                         check.detail);
}

}  // namespace

std::string_view NameOf(ServerPhase phase) {
  switch (phase) {
    case ServerPhase::kStarting:
      return "starting";
    case ServerPhase::kServing:
      return "serving";
    case ServerPhase::kDraining:
      return "draining";
    case ServerPhase::kAborting:
      return "aborting";
  }
  return "";
}

ServerPhase Health::phase() const {
  const absl::MutexLock lock(&mutex_);
  return state_.phase;
}

Health::State Health::state() const {
  const absl::MutexLock lock(&mutex_);
  return state_;
}

void Health::SetPhase(ServerPhase phase) {
  {
    const absl::MutexLock lock(&mutex_);
    if (phase <= state_.phase) {
      return;
    }
    state_.phase = phase;
    is_aborting_ = is_aborting_ || phase == ServerPhase::kAborting;
  }
  NotifyListeners();
}

void Health::SetLoadProgress(int64_t done_bytes, int64_t total_bytes) {
  const absl::MutexLock lock(&mutex_);
  state_.done_bytes = done_bytes;
  state_.total_bytes = total_bytes;
}

void Health::SetStuck(std::string why) {
  {
    const absl::MutexLock lock(&mutex_);
    if (!state_.stuck.empty()) {
      return;
    }
    state_.stuck = why.empty() ? "no progress" : std::move(why);
    is_aborting_ = true;
  }
  NotifyListeners();
}

void Health::AddCheck(std::function<Check()> check) {
  const absl::MutexLock lock(&mutex_);
  checks_.push_back(std::move(check));
}

void Health::AddListener(std::function<void()> listener) {
  const absl::MutexLock lock(&mutex_);
  listeners_.push_back(std::move(listener));
}

void Health::NotifyListeners() const {
  std::vector<std::function<void()>> listeners;
  {
    const absl::MutexLock lock(&mutex_);
    listeners = listeners_;
  }
  for (const std::function<void()>& listener : listeners) {
    listener();
  }
}

std::string Health::Describe(const State& state) {
  if (state.phase == ServerPhase::kStarting && state.total_bytes > 0) {
    const double share =
        static_cast<double>(state.done_bytes) / static_cast<double>(state.total_bytes);
    return absl::StrFormat("starting, %d %% loaded",
                           static_cast<int>(100 * std::clamp(share, 0.0, 1.0)));
  }
  return std::string(NameOf(state.phase));
}

Health::Check Health::PhaseCheck(const State& state) {
  return {.name = "phase", .ok = state.phase == ServerPhase::kServing, .detail = Describe(state)};
}

Health::Check Health::EngineCheck(const State& state) {
  return {.name = "engine", .ok = state.stuck.empty(), .detail = state.stuck};
}

Health::Answer Health::Live() const {
  const State state = this->state();
  if (!state.stuck.empty()) {
    return {.ok = false, .body = absl::StrFormat("not live: %s\n", state.stuck)};
  }
  return {.ok = true, .body = "ok\n"};
}

Health::Answer Health::Ready(bool verbose) const {
  const State state = this->state();
  const Check phase = PhaseCheck(state);
  const Check engine = EngineCheck(state);
  Answer answer = {.ok = phase.ok && engine.ok, .body = {}};
  if (!verbose) {
    answer.body =
        answer.ok ? "ok\n"
                  : absl::StrFormat("not ready: %s\n", engine.ok ? phase.detail : engine.detail);
    return answer;
  }
  answer.body = LineOf(phase) + LineOf(engine);
  std::vector<std::function<Check()>> checks;
  {
    const absl::MutexLock lock(&mutex_);
    checks = checks_;
  }
  for (const std::function<Check()>& check : checks) {
    answer.body += LineOf(check());
  }
  answer.body += answer.ok ? "ready\n" : "not ready\n";
  return answer;
}

Health::Answer Health::Started() const {
  const State state = this->state();
  if (state.phase == ServerPhase::kStarting) {
    return {.ok = false, .body = absl::StrFormat("%s\n", Describe(state))};
  }
  return {.ok = true, .body = "ok\n"};
}

}  // namespace hadal
