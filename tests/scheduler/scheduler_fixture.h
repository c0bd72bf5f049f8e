#pragma once

#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "scheduler/scheduler.h"
#include "tests/scheduler/request_maker.h"

namespace hadal::test {

/// What happened to a request, as a client would see it.
struct Outcome {
  bool admitted = false;
  std::vector<std::vector<TokenId>> tokens;  // by sequence
  std::vector<FinishReason> sequence_ends;
  std::optional<FinishReason> end;
  CacheReport cache;
};

/// A scheduler and a model that answers a fixed token, step by step.
class SchedulerFixture : public testing::Test {
 protected:
  void Start(const Limits& limits) {
    limits_ = limits;
    ASSERT_TRUE(ValidateLimits(limits_).ok());
    scheduler_ = std::make_unique<Scheduler>(limits_);
  }

  void Add(Request request) {
    ASSERT_TRUE(ValidateRequest(limits_, request).ok());
    ASSERT_TRUE(scheduler_->Add(MakeLive(std::move(request)), now_).ok());
  }

  // One step; what each part of the plan was, as (request id, tokens).
  using Parts = std::vector<std::pair<int64_t, int64_t>>;
  Parts Step() {
    const StepPlan& plan = BeginStep();
    Parts parts;
    for (const StepPlan::Part& part : plan.parts) {
      parts.emplace_back(static_cast<int64_t>(part.sequence->request->request.id), part.num_tokens);
    }
    if (!plan.empty()) {
      EndStep(absl::OkStatus());
    }
    TakeEvents();
    return parts;
  }

  const StepPlan& BeginStep() {
    const StepPlan& plan = scheduler_->Plan(now_);
    if (!plan.empty()) {
      BuildStepInput(plan, input_);
    }
    return plan;
  }

  void EndStep(const absl::Status& status) {
    output_.health.assign(static_cast<size_t>(input_.batch.num_sequences()), RowHealth::kFinite);
    if (not_finite_ >= 0) {
      output_.health[static_cast<size_t>(not_finite_)] = RowHealth::kNotFinite;
    }
    output_.samples.assign(input_.samples.size(), {.token = token_});
    output_.drafts.assign(input_.drafts.size(), {});
    for (size_t i = 0; i < input_.drafts.size(); ++i) {
      output_.drafts[i].size = input_.drafts[i].num_drafts;
      output_.drafts[i].tokens.fill(draft_);
    }
    now_ += step_time_;
    scheduler_->Apply(status, output_, now_);
    TakeEvents();
    scheduler_->CheckInvariants();
  }

  void TakeEvents() {
    for (const Event& event : scheduler_->events()) {
      Outcome& outcome = outcomes_[static_cast<int64_t>(event.request->request.id)];
      outcome.tokens.resize(event.request->sequences.size());
      switch (event.kind) {
        case Event::Kind::kAdmitted:
          outcome.admitted = true;
          outcome.cache = event.request->cache;
          break;
        case Event::Kind::kToken:
          outcome.tokens[static_cast<size_t>(event.sequence)].push_back(event.token->token);
          break;
        case Event::Kind::kSequenceEnded:
          outcome.sequence_ends.push_back(event.reason);
          break;
        case Event::Kind::kRequestEnded:
          EXPECT_FALSE(outcome.end.has_value());
          outcome.end = event.reason;
      }
    }
    scheduler_->ClearEvents();
  }

  // Steps until nothing is left to do.
  void Finish() {
    for (int i = 0; i < 10'000 && !Step().empty(); ++i) {
    }
    EXPECT_TRUE(scheduler_->idle());
    EXPECT_EQ(scheduler_->counts().num_used_blocks, 0);
  }

  Limits limits_;
  std::unique_ptr<Scheduler> scheduler_;
  TimePoint now_{};
  Duration step_time_ = std::chrono::milliseconds(10);
  StepInput input_;
  StepOutput output_;
  TokenId token_ = 5;
  TokenId draft_ = 5;        // that is guessed everywhere
  int64_t not_finite_ = -1;  // place in the batch
  std::map<int64_t, Outcome> outcomes_;
};

}  // namespace hadal::test
