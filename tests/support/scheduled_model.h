#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "scheduler/scheduler.h"
#include "tests/support/golden.h"
#include "tests/support/test_steps.h"

namespace hadal {

/// A token and the bits of its log-probability.
using Generated = std::pair<TokenId, uint32_t>;
Generated BitsOf(const SampledToken& sampled);

/// By request id: what each of its sequences generated.
using Answers = std::map<int64_t, std::vector<std::vector<Generated>>>;

/// A model under a scheduler, step by step on this thread.
class ScheduledModel {
 public:
  struct Args {
    const Golden& golden;
    Limits limits;  // but for vocab_size, which is the model's
    int32_t num_threads;
    DType cache_dtype;
  };
  explicit ScheduledModel(const Args& args);

  /// The request must be valid, and there must be room for it.
  void Add(const Request& request);

  /// Steps until all that was added has ended.
  Answers Finish();

  /// Add of all, then Finish.
  Answers RunAll(const std::vector<Request>& requests);

  [[nodiscard]] const Scheduler& scheduler() const { return scheduler_; }

  /// How requests ended, by id.
  [[nodiscard]] const std::map<int64_t, FinishReason>& ends() const { return ends_; }

 private:
  Limits limits_;
  TimePoint now_{};
  Scheduler scheduler_;
  ExecutorFixture executor_;
  std::map<int64_t, FinishReason> ends_;
};

}  // namespace hadal
