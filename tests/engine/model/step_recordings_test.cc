#include "engine/model/step_recordings.h"

#include <cmath>
#include <cstring>
#include <memory>

#include <gtest/gtest.h>

#include "tests/support/emulated_table.h"
#include "tests/support/test_steps.h"

namespace hadal {
namespace {

// What the fake device has done.
struct Calls {
  int num_recordings = 0;  // that it holds
  int num_replayed = 0;    // of the recording that was replayed last
};
Calls calls;

// A device whose recordings count their replays.
const Device& FakeDevice() {
  static constexpr DeviceRecorder kRecorder = {
      .begin = [] {},
      .end = []() -> void* {
        ++calls.num_recordings;
        return std::make_unique<int>(0).release();
      },
      .replay = [](void* recording) { calls.num_replayed = ++*static_cast<int*>(recording); },
      .free =
          [](void* recording) {
            --calls.num_recordings;
            const std::unique_ptr<int> owned(static_cast<int*>(recording));
          }};
  static const Device kDevice = [] {
    Device device = CpuDevice();
    device.recorder = &kRecorder;
    return device;
  }();
  return kDevice;
}

class StepRecordingsTest : public testing::Test {
 protected:
  StepRecordingsTest() {
    calls = {};
    table_.device = &FakeDevice();
    table_.is_recordable = true;
  }

  // How often the ops are called by a step of so many tokens: 0 or 1.
  int Run(int64_t num_tokens) {
    int num_calls = 0;
    StepKey key = {};
    key.kernels = &table_;
    key.num_tokens = num_tokens;
    recordings_.Run(key, scratch_, [&num_calls] { ++num_calls; });
    return num_calls;
  }

  KernelTable table_ = {};
  ScratchArena scratch_{FakeDevice()};
  StepRecordings recordings_;
};

TEST_F(StepRecordingsTest, IsRecordedWhenItRecursAndReplayedFromThenOn) {
  EXPECT_EQ(Run(1), 1);
  EXPECT_EQ(calls.num_recordings, 0);
  EXPECT_EQ(Run(1), 1);
  EXPECT_EQ(calls.num_recordings, 1);
  EXPECT_EQ(calls.num_replayed, 1) << "recording does nothing yet";
  EXPECT_EQ(Run(1), 0);
  EXPECT_EQ(calls.num_replayed, 2);
  EXPECT_EQ(Run(2), 1) << "another shape";
  EXPECT_EQ(Run(1), 0);
  EXPECT_EQ(recordings_.num_recorded(), 1);
  EXPECT_EQ(recordings_.num_replayed(), 2);
}

TEST_F(StepRecordingsTest, OpsThatDoMoreThanLaunchAreNotRecorded) {
  table_.is_recordable = false;
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Run(1), 1);
  }
  EXPECT_EQ(calls.num_recordings, 0);
}

TEST_F(StepRecordingsTest, AllGoWhenTheArenaGrows) {
  Run(1);
  Run(1);
  Run(2);
  scratch_.Allocate<std::byte>(1);
  EXPECT_EQ(Run(1), 1);
  EXPECT_EQ(calls.num_recordings, 0);
  EXPECT_EQ(Run(1), 1);
  EXPECT_EQ(calls.num_replayed, 1);
  EXPECT_EQ(Run(2), 1);
  EXPECT_EQ(calls.num_recordings, 1) << "a key that was seen before is new";
}

TEST_F(StepRecordingsTest, TheOnesUsedLastStay) {
  const auto max_recordings = static_cast<int64_t>(StepRecordings::kMaxRecordings);
  for (int64_t n = 0; n < max_recordings; ++n) {
    Run(n);
    Run(n);
  }
  EXPECT_EQ(calls.num_recordings, max_recordings);
  EXPECT_EQ(Run(0), 0);
  Run(max_recordings);
  Run(max_recordings);
  EXPECT_EQ(calls.num_recordings, max_recordings);
  EXPECT_EQ(Run(0), 0);
  EXPECT_EQ(Run(1), 1) << "it was used least recently";
}

TEST_F(StepRecordingsTest, StepsThatNeverRecurPushNoRecordingOut) {
  Run(0);
  Run(0);
  for (int64_t n = 1; n < 1000; ++n) {
    EXPECT_EQ(Run(n), 1);
  }
  EXPECT_EQ(Run(0), 0);
}

// A step of some sequences, in which every table has so many blocks.
struct Shape {
  std::vector<int64_t> num_tokens;
  size_t max_blocks;
};

// Decode steps among steps of other shapes.
std::vector<Shape> Shapes() {
  std::vector<Shape> shapes = {{{8, 3}, 1}};
  const auto decode = [&shapes](int count, size_t max_blocks) {
    shapes.insert(shapes.end(), static_cast<size_t>(count), Shape{{1, 1}, max_blocks});
  };
  decode(4, 1);
  shapes.push_back({{1, 0}, 1});
  decode(1, 2);
  shapes.push_back({{1, 0}, 2});
  decode(2, 9);
  shapes.push_back({{30, 2}, 9});
  decode(3, 9);
  decode(1, 1);
  return shapes;
}

class RecordedExecutorTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!test::EmulatesCuda()) {
      GTEST_SKIP() << "no emulated GPU in this build";
    }
  }

  ExecutorFixture MakeExecutor(const KernelTable& kernels, bool can_draft) const {
    return ExecutorFixture({.golden = golden_,
                            .kernels = kernels,
                            .num_threads = 2,
                            .cache_dtype = DType::kBf16,
                            .num_blocks = 4,
                            .device = CpuDevice(),
                            .max_step_tokens = 64,
                            .max_samples = 8,
                            .can_draft = can_draft});
  }

  // The samples, and where there are any the drafts, of steps of `shapes`.
  std::vector<StepOutput> Run(ExecutorFixture& fixture,
                              const std::vector<Shape>& shapes,
                              int32_t num_drafts) const {
    const std::vector<TokenId> ids = golden_.Ids("input_ids");
    std::vector<TestSequence> sequences;
    for (const int32_t block : {2, 1}) {
      sequences.push_back({.tokens = {ids.begin() + block, ids.begin() + block + 60},
                           .num_prompt_tokens = 60,
                           .blocks = {block},
                           .params = {.temperature = 0, .num_logprobs = 2}});
    }
    std::vector<StepOutput> outputs;
    for (const Shape& shape : shapes) {
      for (TestSequence& sequence : sequences) {
        sequence.blocks.resize(shape.max_blocks);
      }
      StepInput input = MakeStep(sequences, shape.num_tokens);
      if (num_drafts > 0) {
        input.drafts.assign(2, {.num_drafts = num_drafts});
        for (size_t s = 0; s < sequences.size(); ++s) {
          input.drafts[s].num_drafts = shape.num_tokens[s] > 0 ? num_drafts : 0;
        }
      }
      fixture.Run(input, outputs.emplace_back());
    }
    return outputs;
  }

  static void ExpectSame(const std::vector<StepOutput>& actual,
                         const std::vector<StepOutput>& expected) {
    ASSERT_EQ(actual.size(), expected.size());
    for (size_t i = 0; i < actual.size(); ++i) {
      EXPECT_EQ(actual[i].health, expected[i].health);
      ASSERT_EQ(actual[i].samples.size(), expected[i].samples.size());
      for (size_t s = 0; s < actual[i].samples.size(); ++s) {
        const SampledToken& a = actual[i].samples[s];
        const SampledToken& b = expected[i].samples[s];
        EXPECT_EQ(a.token, b.token) << "step " << i;
        EXPECT_EQ(std::memcmp(&a.logprob, &b.logprob, sizeof(a.logprob)), 0) << "step " << i;
      }
      ASSERT_EQ(actual[i].drafts.size(), expected[i].drafts.size());
      for (size_t s = 0; s < actual[i].drafts.size(); ++s) {
        EXPECT_EQ(actual[i].drafts[s].size, expected[i].drafts[s].size) << "step " << i;
        EXPECT_EQ(actual[i].drafts[s].tokens, expected[i].drafts[s].tokens) << "step " << i;
      }
    }
  }

  static KernelTable NotRecordable(KernelTable table) {
    table.is_recordable = false;
    return table;
  }

  const Golden golden_ = Golden::Load("v3-bf16");
};

TEST_F(RecordedExecutorTest, ReplayedStepsHaveTheBitsOfPlainOnes) {
  const KernelTable table = test::EmulatedCudaTable();
  ExecutorFixture plain = MakeExecutor(NotRecordable(table), false);
  ExecutorFixture recorded = MakeExecutor(table, false);
  ExpectSame(Run(recorded, Shapes(), 0), Run(plain, Shapes(), 0));
  EXPECT_EQ(plain.executor().recordings().num_recorded(), 0);
  // Two tables of up to eight blocks are equally wide.
  EXPECT_GE(recorded.executor().recordings().num_recorded(), 2);
  EXPECT_GE(recorded.executor().recordings().num_replayed(), 3);
}

TEST_F(RecordedExecutorTest, EqualStepsAreReplayedFromTheThirdOn) {
  ExecutorFixture fixture = MakeExecutor(test::EmulatedCudaTable(), false);
  const std::vector<Shape> warm_up(2, {{4, 4}, 1});
  Run(fixture, warm_up, 0);  // the arena has grown
  const int64_t num_recorded = fixture.executor().recordings().num_recorded();
  const int64_t num_replayed = fixture.executor().recordings().num_replayed();
  Run(fixture, {{{2, 1}, 1}, {{2, 1}, 1}, {{2, 1}, 1}, {{2, 1}, 1}}, 0);
  EXPECT_EQ(fixture.executor().recordings().num_recorded(), num_recorded + 1);
  EXPECT_EQ(fixture.executor().recordings().num_replayed(), num_replayed + 2);
}

TEST_F(RecordedExecutorTest, DraftsAreReplayedToo) {
  const KernelTable table = test::EmulatedCudaTable();
  ExecutorFixture plain = MakeExecutor(NotRecordable(table), true);
  ExecutorFixture recorded = MakeExecutor(table, true);
  const std::vector<Shape> shapes(4, {{1, 1}, 1});
  ExpectSame(Run(recorded, shapes, 2), Run(plain, shapes, 2));
  // The model, and its module: two drafts of it are steps of one shape.
  EXPECT_GE(recorded.executor().recordings().num_recorded(), 2);
  EXPECT_GE(recorded.executor().recordings().num_replayed(), 3);
}

// Calls of an emulated GPU that wait for it.
int num_waits = 0;

const Device& WaitCountingGpu() {
  static const Device kGpu = *test::EmulatedCudaTable().device;
  static const Device kDevice = [] {
    Device device = kGpu;
    device.copy = [](void* to, const void* from, size_t size_bytes) {
      ++num_waits;
      kGpu.copy(to, from, size_bytes);
    };
    device.finish_copies = [] {
      ++num_waits;
      kGpu.finish_copies();
    };
    return device;
  }();
  return kDevice;
}

// How often the host waits in each step of one token for each of two sequences: plain, recorded,
// replayed.
std::vector<int> Waits(ExecutorFixture& fixture, const Golden& golden, int32_t num_drafts) {
  const std::vector<TokenId> ids = golden.Ids("input_ids");
  std::vector<TestSequence> sequences;
  for (const int32_t block : {2, 1}) {
    sequences.push_back({.tokens = {ids.begin() + block, ids.begin() + block + 20},
                         .num_prompt_tokens = 20,
                         .blocks = {block},
                         .params = {.top_p = 0.9F, .seed = 5}});
  }
  StepOutput output;
  std::vector<int> waits;
  for (int step = 0; step < 4; ++step) {
    StepInput input = MakeStep(sequences, {1, 1});
    if (num_drafts > 0) {
      input.drafts.assign(2, {.num_drafts = num_drafts});
    }
    const int before = num_waits;
    fixture.Run(input, output);
    waits.push_back(num_waits - before);
  }
  return waits;
}

TEST_F(RecordedExecutorTest, TheHostWaitsOnceInAStepAndOnceForEachDraft) {
  KernelTable table = test::EmulatedCudaTable();
  table.device = &WaitCountingGpu();
  ExecutorFixture plain = MakeExecutor(table, false);
  EXPECT_EQ(Waits(plain, golden_, 0), std::vector<int>(4, 1));
  EXPECT_GE(plain.executor().recordings().num_replayed(), 1);
  ExecutorFixture drafting = MakeExecutor(table, true);
  EXPECT_EQ(Waits(drafting, golden_, 2), std::vector<int>(4, 3));
}

// Gives numbers that are not finite, and does nothing but launch.
void NormBadly(const RmsNormArgs& args, ExecutionContext& context) {
  RmsNormArgs bad = args;
  bad.epsilon = NAN;
  static const KernelTable kTable = test::EmulatedCudaTable();
  kTable.rms_norm.function(bad, context);
}

TEST_F(RecordedExecutorTest, AFaultyOpIsReplayedUntilItIsDemoted) {
  KernelTable table = test::EmulatedCudaTable();
  table.rms_norm.function = &NormBadly;
  ExecutorFixture plain = MakeExecutor(NotRecordable(table), false);
  ExecutorFixture recorded = MakeExecutor(table, false);
  const std::vector<Shape> shapes(KernelGuard::kMaxFaults + 2, {{1, 1}, 1});
  ExpectSame(Run(recorded, shapes, 0), Run(plain, shapes, 0));
  for (const KernelHealth& health : recorded.executor().kernel_health()) {
    EXPECT_EQ(health.demoted, std::string_view(health.op) == "rms_norm");
  }
  EXPECT_GE(recorded.executor().recordings().num_recorded(), 1);
  EXPECT_LT(recorded.executor().recordings().num_replayed(), KernelGuard::kMaxFaults);
}

}  // namespace
}  // namespace hadal
