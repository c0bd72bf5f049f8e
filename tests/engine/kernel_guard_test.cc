#include "engine/kernel_guard.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <set>

#include <gtest/gtest.h>

#include "kernels/kernel_registry.h"
#include "tests/support/emulated_table.h"
#include "tests/support/test_steps.h"

namespace hadal {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr int32_t kBadRow = 1;
constexpr int64_t kNever = -1;

// Which calls go wrong. Calls of an op are counted from 0; with a period, within each period.
struct Fault {
  int64_t call = kNever;
  int64_t period = std::numeric_limits<int64_t>::max();
};

template <typename T>
T Get(const Device& device, const T& place) {
  T value;
  device.copy(&value, &place, sizeof(value));
  return value;
}
template <typename T>
void Put(const Device& device, T value, T& place) {
  device.copy(&place, &value, sizeof(value));
}

void Spoil(const EmbeddingArgs& args, const Device& device) {
  Put(device, kNan, args.y(kBadRow, 0));
}
void Spoil(const RmsNormArgs& args, const Device& device) {
  Put(device, kNan, args.y(kBadRow, 1));
}
void Spoil(const LinearArgs& args, const Device& device) {
  Put(device, std::numeric_limits<float>::infinity(), args.y(kBadRow, 2));
}
void Spoil(const MlpArgs& args, const Device& device) {
  Put(device, kNan, args.y(kBadRow, 0));
}
void Spoil(const MlaProjectArgs& args, const Device& device) {  // the cache alone
  const int64_t row = Get(device, args.slots(kBadRow)) * args.cache.row_width;
  if (args.cache.dtype == DType::kF32) {
    Put(device, kNan, static_cast<float*>(args.cache.rows)[row]);
  } else {
    Put(device, ToBf16(kNan), static_cast<bf16*>(args.cache.rows)[row]);
  }
}
void Spoil(const MlaAttentionArgs& args, const Device& device) {
  Put(device, -std::numeric_limits<float>::infinity(), args.out(kBadRow, 1, 1));
}
void Spoil(const MoeRouteArgs& args, const Device& device) {
  Put(device, kNan, args.weights(kBadRow, 0));
}
void Spoil(const MoeExpertsArgs& args, const Device& device) {
  Put(device, kNan, args.y(kBadRow, 3));
}

void Spoil(const GatherRowsArgs& args, const Device& device) {
  Put(device, kNan, args.y(kBadRow, 1));
}
void Spoil(const CheckFiniteArgs& args, const Device& device) {
  Put(device, 0, args.is_finite(kBadRow));
}
void Spoil(const SampleArgs& args, const Device& device) {
  Put(device, kNoToken, args.token_ids(kBadRow));
}

// The op with these arguments, going wrong where `fault` says.
template <typename Args>
struct Faulty {
  inline static Kernel<Args> real = {};
  inline static Fault fault = {};
  inline static const Device* device = nullptr;
  inline static int64_t num_calls = 0;

  static void Call(const Args& args, ExecutionContext& context) {
    real.function(args, context);
    if (num_calls++ % fault.period == fault.call) {
      Spoil(args, *device);
    }
  }
};

// `table` with all ops counting their calls and the one called `op` going wrong.
KernelTable MakeFaulty(KernelTable table, std::string_view op, const Fault& fault) {
  KernelTable::ForEachOp(
      [&]<typename Args>(std::string_view name, Kernel<Args>& entry) {
        Faulty<Args>::real = entry;
        Faulty<Args>::fault = name == op ? fault : Fault{};
        Faulty<Args>::device = table.device;
        Faulty<Args>::num_calls = 0;
        entry.function = &Faulty<Args>::Call;
      },
      table);
  table.is_recordable = false;  // they count, and copy
  return table;
}

int64_t NumCallsOf(std::string_view op, KernelTable table) {
  int64_t num_calls = 0;
  KernelTable::ForEachOp(
      [&]<typename Args>(std::string_view name, Kernel<Args>& /*entry*/) {
        num_calls = name == op ? Faulty<Args>::num_calls : num_calls;
      },
      table);
  return num_calls;
}

std::vector<std::string> OpNames() {
  std::vector<std::string> names;
  KernelTable::ForEachOp([&names](const char* name) { names.emplace_back(name); });
  return names;
}

bool IsSame(const SampledToken& a, const SampledToken& b) {
  return a.token == b.token && std::memcmp(&a.logprob, &b.logprob, sizeof(a.logprob)) == 0;
}

class KernelGuardTest : public testing::TestWithParam<std::string> {
 protected:
  static KernelTable Table(const std::string& back_end) {
    const absl::StatusOr<KernelTable> table = BuildKernelTable(back_end);
    CHECK(table.ok());
    return *table;
  }

  ExecutorFixture MakeExecutor(const KernelTable& kernels) {
    return ExecutorFixture({.golden = golden_,
                            .kernels = kernels,
                            .num_threads = 2,
                            .cache_dtype = DType::kBf16,
                            .num_blocks = 8,
                            .device = CpuDevice(),
                            .max_step_tokens = 64,
                            .max_samples = 8});
  }

  // Four sequences that have computed no token. With log-probabilities their tokens are chosen on
  // the host.
  std::vector<TestSequence> MakeSequences(int32_t num_logprobs) const {
    const std::vector<TokenId> ids = golden_.Ids("input_ids");
    std::vector<TestSequence> sequences;
    for (int32_t s = 0; s < 4; ++s) {
      sequences.push_back({.tokens = {ids.begin() + s, ids.begin() + s + 20},
                           .num_prompt_tokens = 20,
                           .blocks = {2 * s, 2 * s + 1},
                           .params = {.temperature = 0, .num_logprobs = num_logprobs}});
    }
    return sequences;
  }

  // Those that the op of the test serves.
  std::vector<TestSequence> SequencesOfOp() const {
    return MakeSequences(GetParam() == "sample" ? -1 : 0);
  }

  // Steps of one token of each sequence.
  static std::vector<StepOutput> Run(ExecutorFixture& fixture,
                                     std::vector<TestSequence> sequences,
                                     int64_t num_steps) {
    std::vector<StepOutput> outputs;
    for (int64_t i = 0; i < num_steps; ++i) {
      fixture.Run(MakeStep(sequences, {1, 1, 1, 1}), outputs.emplace_back());
    }
    return outputs;
  }

  static void ExpectOnlyFaultsOf(std::string_view op, int64_t num_faults, LocalExecutor& executor) {
    std::set<std::string_view> ops;
    for (const KernelHealth& health : executor.kernel_health()) {
      EXPECT_EQ(health.num_faults, health.op == op ? num_faults : 0) << health.op;
      EXPECT_EQ(health.demoted, health.num_faults >= KernelGuard::kMaxFaults) << health.op;
      ops.insert(health.op);
    }
    EXPECT_EQ(ops.size(), OpNames().size());
  }

  // The best of this machine, and one on another device than the host's.
  static std::vector<KernelTable> Tables() { return test::WithEmulatedCuda({BestKernels()}); }

  // Calls of an op in a step that is not run again.
  int64_t CallsPerStep(const std::string& op, const KernelTable& table) {
    const KernelTable counting = MakeFaulty(table, "", {});
    ExecutorFixture fixture = MakeExecutor(counting);
    Run(fixture, SequencesOfOp(), 1);
    return NumCallsOf(op, counting);
  }

  const Golden golden_ = Golden::Load("v3-bf16");
};

// On a table that is the reference but for the fault, the row that is computed again gets its own
// bits too.
TEST_P(KernelGuardTest, TheOpAtFaultIsBlamedAndNoBitChanges) {
  const KernelTable table = Table("reference");
  ExecutorFixture clean = MakeExecutor(table);
  const std::vector<StepOutput> expected = Run(clean, SequencesOfOp(), 2);
  const int64_t num_calls = CallsPerStep(GetParam(), table);
  for (const int64_t call : std::set<int64_t>{0, num_calls / 2, num_calls - 1}) {
    ExecutorFixture faulty =
        MakeExecutor(MakeFaulty(table, GetParam(), {.call = call, .period = num_calls}));
    const std::vector<StepOutput> outputs = Run(faulty, SequencesOfOp(), 2);
    for (size_t i = 0; i < outputs.size(); ++i) {
      EXPECT_EQ(outputs[i].health, std::vector<RowHealth>(4, RowHealth::kFinite)) << call;
      for (size_t s = 0; s < 4; ++s) {
        EXPECT_TRUE(IsSame(outputs[i].samples[s], expected[i].samples[s])) << call;
      }
    }
    ExpectOnlyFaultsOf(GetParam(), 2, faulty.executor());
  }
}

// On a faster table the row at fault is rounded otherwise, and no other.
TEST_P(KernelGuardTest, OtherSequencesKeepTheirBits) {
  for (const KernelTable& table : Tables()) {
    ExecutorFixture clean = MakeExecutor(table);
    const std::vector<StepOutput> expected = Run(clean, SequencesOfOp(), 2);
    const int64_t num_calls = CallsPerStep(GetParam(), table);
    ExecutorFixture faulty =
        MakeExecutor(MakeFaulty(table, GetParam(), {.call = num_calls - 1, .period = num_calls}));
    const std::vector<StepOutput> outputs = Run(faulty, SequencesOfOp(), 2);
    for (size_t i = 0; i < outputs.size(); ++i) {
      EXPECT_EQ(outputs[i].health, std::vector<RowHealth>(4, RowHealth::kFinite));
      for (size_t s = 0; s < 4; ++s) {
        EXPECT_TRUE(IsSame(outputs[i].samples[s], expected[i].samples[s]) || s == kBadRow);
      }
      EXPECT_NEAR(outputs[i].samples[kBadRow].logprob, expected[i].samples[kBadRow].logprob, 1e-3);
    }
    ExpectOnlyFaultsOf(GetParam(), 2, faulty.executor());
  }
}

TEST_P(KernelGuardTest, AnOpThatKeepsFailingIsDemoted) {
  for (const KernelTable& table : Tables()) {
    const int64_t num_steps = KernelGuard::kMaxFaults + 2;
    ExecutorFixture clean = MakeExecutor(table);
    const std::vector<StepOutput> expected = Run(clean, SequencesOfOp(), num_steps);
    const int64_t num_calls = CallsPerStep(GetParam(), table);
    const KernelTable broken = MakeFaulty(table, GetParam(), {.call = 0, .period = num_calls});
    ExecutorFixture fixture = MakeExecutor(broken);
    std::vector<TestSequence> sequences = SequencesOfOp();
    StepOutput output;
    for (int64_t step = 1; step <= num_steps; ++step) {
      const int64_t calls_before = NumCallsOf(GetParam(), broken);
      fixture.Run(MakeStep(sequences, {1, 1, 1, 1}), output);
      const bool was_demoted = step > KernelGuard::kMaxFaults;
      EXPECT_EQ(NumCallsOf(GetParam(), broken) - calls_before, was_demoted ? 0 : 2 * num_calls);
      EXPECT_EQ(output.health, std::vector<RowHealth>(4, RowHealth::kFinite));
      ExpectOnlyFaultsOf(GetParam(), std::min(step, KernelGuard::kMaxFaults), fixture.executor());
      for (size_t s = 0; s < 4; ++s) {
        const auto& samples = expected[static_cast<size_t>(step - 1)].samples;
        EXPECT_NEAR(output.samples[s].logprob, samples[s].logprob, 1e-3);
      }
    }
    for (const KernelHealth& health : fixture.executor().kernel_health()) {
      EXPECT_EQ(health.implementation == "reference", health.op == GetParam()) << health.op;
    }
  }
}

// What does not happen again when the step is run again was no fault of the op's.
TEST_P(KernelGuardTest, ASingleFaultCostsNothingButTime) {
  const KernelTable table = BestKernels();
  ExecutorFixture clean = MakeExecutor(table);
  const std::vector<StepOutput> expected = Run(clean, SequencesOfOp(), 2);
  ExecutorFixture faulty = MakeExecutor(MakeFaulty(table, GetParam(), {.call = 0}));
  const std::vector<StepOutput> outputs = Run(faulty, SequencesOfOp(), 2);
  for (size_t i = 0; i < outputs.size(); ++i) {
    for (size_t s = 0; s < 4; ++s) {
      EXPECT_TRUE(IsSame(outputs[i].samples[s], expected[i].samples[s]));
    }
  }
  ExpectOnlyFaultsOf(GetParam(), 0, faulty.executor());
}

INSTANTIATE_TEST_SUITE_P(Ops, KernelGuardTest, testing::ValuesIn(OpNames()), [](const auto& op) {
  return op.param;
});

// Copies are not made twice: by then their sources may have been written to.
TEST_F(KernelGuardTest, AStepThatIsRunAgainKeepsItsCopies) {
  const KernelTable table = Table("reference");
  std::vector<TestSequence> sequences = MakeSequences(0);
  const auto run = [&](const KernelTable& kernels) {
    ExecutorFixture fixture = MakeExecutor(kernels);
    std::vector<TestSequence> parents = sequences;
    StepOutput output;
    fixture.Run(MakeStep(parents, {10, 0, 0, 0}), output);
    std::vector<TestSequence> both = {parents[0], parents[0]};
    both[1].tokens[10] ^= 1;
    both[1].blocks = {6, 7};
    StepInput input = MakeStep(both, {1, 1});
    input.copies = {{.source = 0, .destination = 6}};
    fixture.Run(input, output);
    return output;
  };
  const StepOutput expected = run(table);
  const StepOutput actual = run(MakeFaulty(table, "rms_norm", {.call = 0, .period = 1}));
  for (size_t s = 0; s < 2; ++s) {
    EXPECT_EQ(actual.health[s], RowHealth::kFinite);
    EXPECT_TRUE(IsSame(actual.samples[s], expected.samples[s]));
  }
}

const LatentCache* NoteCache(const MlaAttentionArgs* args) {
  static LatentCache cache;
  if (args != nullptr) {
    cache = args->cache;
  }
  return &cache;
}

void AttendAndNote(const MlaAttentionArgs& args, ExecutionContext& context) {
  NoteCache(&args);
  BestKernels().mla_attention.function(args, context);
}

TEST_F(KernelGuardTest, RowsOfABrokenSequenceAreZeroed) {
  Golden poisoned = Golden::Load("v3-bf16");
  std::vector<TestSequence> sequences = MakeSequences(0);
  poisoned.PoisonEmbedding(sequences[2].tokens[1]);
  KernelTable kernels = BestKernels();
  kernels.mla_attention.function = &AttendAndNote;
  ExecutorFixture fixture({.golden = poisoned,
                           .kernels = kernels,
                           .num_threads = 2,
                           .cache_dtype = DType::kF32,
                           .num_blocks = 8,
                           .device = CpuDevice(),
                           .max_step_tokens = 64,
                           .max_samples = 8});
  sequences.erase(sequences.begin(), sequences.begin() + 2);
  sequences.pop_back();
  StepOutput output;
  fixture.Run(MakeStep(sequences, {1}), output);
  EXPECT_EQ(output.health[0], RowHealth::kFinite);
  fixture.Run(MakeStep(sequences, {3}), output);
  EXPECT_EQ(output.health[0], RowHealth::kNotFinite);
  const LatentCache& cache = *NoteCache(nullptr);
  std::vector<float> row(static_cast<size_t>(cache.row_width));
  for (int64_t position = 0; position < 4; ++position) {
    kernels.device->copy(row.data(),
                         RowOf(cache, sequences[0].blocks[0] * kBlockSize + position),
                         row.size() * sizeof(float));
    const bool is_zero = std::all_of(row.begin(), row.end(), [](float x) { return x == 0; });
    EXPECT_EQ(is_zero, position > 0) << "the row of an earlier step stays";
  }
}

}  // namespace
}  // namespace hadal
