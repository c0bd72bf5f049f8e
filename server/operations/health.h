#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>

namespace hadal {

/// The life of the server, forward only.
enum class ServerPhase : int8_t {
  kStarting,  // weights are being read
  kServing,
  kDraining,  // no more requests are taken; those taken are finished
  kAborting,  // those taken are ended at once
};

/// "starting", "serving", "draining", "aborting".
std::string_view NameOf(ServerPhase phase);

/// What the probes say. Any thread.
class Health {
 public:
  /// One line of a verbose answer. It informs; probes pass or fail by the phase and by being stuck.
  struct Check {
    std::string name{};
    bool ok = true;
    std::string detail{};
  };

  [[nodiscard]] ServerPhase phase() const;

  /// Whether what runs is to end at once: aborting, or stuck. Asked for each token: without a lock.
  [[nodiscard]] bool is_aborting() const { return is_aborting_.load(std::memory_order_acquire); }

  void SetPhase(ServerPhase phase);  // ignored unless it goes forward

  void SetLoadProgress(int64_t done_bytes, int64_t total_bytes);

  /// The engine makes no progress: not live any more. For good; the first reason stays.
  void SetStuck(std::string why);

  /// Asked for each verbose answer, without any lock held; borrows nothing that ends before the
  /// server does.
  void AddCheck(std::function<Check()> check);

  /// Whether the probe passes, and its body: one line, or with `verbose` one for each check.
  struct Answer {
    bool ok = true;
    std::string body{};
  };
  [[nodiscard]] Answer Live() const;               // not stuck
  [[nodiscard]] Answer Ready(bool verbose) const;  // serving and not stuck
  [[nodiscard]] Answer Started() const;            // past kStarting; before, the share loaded

  /// Called with each new phase, and when stuck, on the thread that changed it, without any lock
  /// held.
  void AddListener(std::function<void()> listener);

 private:
  struct State {
    ServerPhase phase = ServerPhase::kStarting;
    int64_t done_bytes = 0;
    int64_t total_bytes = 0;
    std::string stuck;  // why; empty: it is not
  };

  // "starting, 42 % loaded" while it loads, else the phase's name.
  static std::string Describe(const State& state);
  static Check PhaseCheck(const State& state);
  static Check EngineCheck(const State& state);

  [[nodiscard]] State state() const;
  void NotifyListeners() const;

  std::atomic<bool> is_aborting_ = false;  // what state_ says of it
  mutable absl::Mutex mutex_;
  State state_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::function<Check()>> checks_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::function<void()>> listeners_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace hadal
