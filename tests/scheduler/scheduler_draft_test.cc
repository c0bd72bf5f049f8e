#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/scheduler/scheduler_fixture.h"

namespace hadal::test {
namespace {

using testing::ElementsAre;

class SchedulerDraftTest : public SchedulerFixture {};

TEST_F(SchedulerDraftTest, DraftsThatComeTrueTakeNoStepsOfTheirOwn) {
  Start({.max_running_sequences = 8, .max_step_tokens = 40, .max_draft_tokens = 3});
  Add(MakeRequest(1, 10, 12));
  Step();
  EXPECT_EQ(outcomes_[1].tokens[0].size(), 1U);
  Step();
  EXPECT_EQ(outcomes_[1].tokens[0].size(), 5U);
  Step();
  EXPECT_EQ(outcomes_[1].tokens[0].size(), 9U);
  Step();  // never more than were asked for
  EXPECT_EQ(outcomes_[1].tokens[0].size(), 12U);
  EXPECT_EQ(outcomes_[1].end, FinishReason::kLength);
  EXPECT_EQ(scheduler_->counts().total_accepted, scheduler_->counts().total_drafted);
}

TEST_F(SchedulerDraftTest, DraftsThatAreWrongBringNothing) {
  Start({.max_running_sequences = 8, .max_step_tokens = 40, .max_draft_tokens = 3});
  draft_ = 6;
  Add(MakeRequest(1, 10, 12));
  Finish();
  EXPECT_EQ(outcomes_[1].tokens[0].size(), 12U);
  EXPECT_EQ(scheduler_->counts().total_steps, 12);
  EXPECT_GT(scheduler_->counts().total_drafted[2], 0);
  EXPECT_EQ(scheduler_->counts().total_accepted[0], 0);
}

TEST_F(SchedulerDraftTest, AStopTokenAmongDraftsThatCameTrueIsTheLast) {
  Start({.max_running_sequences = 8, .max_step_tokens = 40, .max_draft_tokens = 3});
  Request request = MakeRequest(1, 10, 12);
  request.stop_token_ids = {7};
  Add(request);
  Step();
  token_ = draft_ = 7;  // the drafts at hand are still 5
  Step();
  EXPECT_THAT(outcomes_[1].tokens[0], ElementsAre(5, 7));
  EXPECT_EQ(outcomes_[1].end, FinishReason::kStop);
}

TEST_F(SchedulerDraftTest, DraftsLeaveEverySequenceItsToken) {
  Start({.max_running_sequences = 4, .max_step_tokens = 6, .max_draft_tokens = 8});
  for (int64_t id = 1; id <= 4; ++id) {
    Add(MakeRequest(id, 1, 40));
  }
  Step();
  const StepPlan& plan = BeginStep();
  EXPECT_EQ(plan.parts.size(), 4U);
  EXPECT_EQ(plan.num_tokens, 6);
  EXPECT_EQ(plan.num_drafts, 2);
}

// Sequences that part may not write to blocks that they share; once they have parted each has its
// own drafts.
TEST_F(SchedulerDraftTest, NothingIsGuessedWhereSequencesPart) {
  Start({.max_running_sequences = 4, .max_step_tokens = 40, .max_draft_tokens = 2});
  Request request = MakeRequest(1, 10, 12);
  request.num_sequences = 2;
  Add(request);
  BeginStep();
  EXPECT_EQ(input_.drafts.at(0).num_drafts, 0);
  EndStep(absl::OkStatus());
  BeginStep();
  EXPECT_EQ(input_.drafts.at(0).num_drafts, 2);
  EXPECT_EQ(input_.drafts.at(1).num_drafts, 2);
}

}  // namespace
}  // namespace hadal::test
