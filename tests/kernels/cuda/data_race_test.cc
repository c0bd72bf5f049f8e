// ThreadSanitizer's look at the kernels on the emulated GPU: first that it sees what it should,
// then calls of ops that take the ways of large batches. (launch_count_test.cc has those of few
// tokens.)

#include <cstdlib>

#include <gtest/gtest.h>

#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/memory.h"
#include "kernels/cuda/device/ptx.h"
#include "kernels/self_test/linear.h"
#include "kernels/self_test/mla_attention.h"
#include "kernels/self_test/moe_experts.h"
#include "kernels/self_test/sample.h"
#include "tests/support/cuda_emulation/races.h"
#include "tests/support/emulated_table.h"
#include "tests/support/kernel_runner.h"

namespace hadal::cuda {
namespace {

constexpr int kRaceExitCode = 66;  // ThreadSanitizer's

__global__ void __launch_bounds__(64) AddNeighbour(int* out, bool has_barrier) {
  LetNextKernelBegin();
  WaitForEarlierKernels();
  auto* shared = reinterpret_cast<int*>(DynamicShared());
  const auto thread = static_cast<int>(threadIdx.x);
  shared[thread] = thread;
  if (has_barrier) {
    __syncthreads();
  }
  atomicAdd(out, shared[(thread + 63) % 64]);
}

__global__ void Store(int* out) {
  LetNextKernelBegin();
  WaitForEarlierKernels();
  *out = 1;
}

__global__ void Copy(const int* in, int* out, bool is_early) {
  LetNextKernelBegin();
  const int early = is_early ? *in : 0;
  WaitForEarlierKernels();
  *out = is_early ? early : *in;
}

// Blocks write the same place.
__global__ void StoreBlock(int* out) {
  LetNextKernelBegin();
  WaitForEarlierKernels();
  if (threadIdx.x == blockIdx.x) {
    *out = static_cast<int>(blockIdx.x);
  }
}

class DataRaceTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!emulation::kFindsRaces) {
      GTEST_SKIP() << "no ThreadSanitizer in this build";
    }
    GTEST_FLAG_SET(death_test_style, "threadsafe");  // a fork is not looked at
    auto buffer = DeviceBuffer::Allocate(gpu_, 2 * sizeof(int));
    CHECK(buffer.ok());
    buffer_ = *std::move(buffer);
  }

  [[nodiscard]] int* first() const { return static_cast<int*>(buffer_.data()); }
  [[nodiscard]] int* second() const { return first() + 1; }

  template <typename Call>
  static void ExpectRace(Call call) {
    EXPECT_EXIT(
        {
          call();
          std::exit(0);
        },
        testing::ExitedWithCode(kRaceExitCode),
        "data race");
  }

  const Device& gpu_ = GpuDevice();
  DeviceBuffer buffer_;
};

TEST_F(DataRaceTest, ABarrierIsMissing) {
  const auto run = [this](bool has_barrier) {
    Launch("add_neighbour",
           AddNeighbour,
           {.grid = 2, .threads = 64, .shared_bytes = 256},
           first(),
           has_barrier);
  };
  run(true);
  ExpectRace([&] { run(false); });
}

TEST_F(DataRaceTest, AKernelReadsWhatTheOneBeforeWrites) {
  const auto run = [this](bool is_early) {
    Launch("store", Store, {.grid = 1, .threads = 1}, first());
    Launch("copy",
           Copy,
           {.grid = 1, .threads = 1},
           static_cast<const int*>(first()),
           second(),
           is_early);
  };
  run(false);
  ExpectRace([&] { run(true); });
}

TEST_F(DataRaceTest, BlocksMeet) {
  ExpectRace([&] { Launch("store_block", StoreBlock, {.grid = 2, .threads = 2}, first()); });
}

TEST_F(DataRaceTest, OpsOfLargeBatchesHaveNone) {
  const KernelTable table = test::TableOf(test::kEmulatedCudaName);
  test::KernelRunner runner(1);
  for (const self_test::WeightSpec& spec :
       {self_test::WeightSpec{.format = WeightFormat::kBf16},
        self_test::WeightSpec{
            .format = WeightFormat::kFp8Block, .block_rows = 128, .block_cols = 128}}) {
    for (const int64_t num_tokens : {9, 20, 40, 70}) {
      self_test::LinearProblem linear(spec, {.num_tokens = num_tokens, .in = 656, .out = 66});
      linear.Reset();
      linear.Call(table, runner.context);
    }
    self_test::MoeExpertsProblem experts(spec,
                                         {.num_tokens = 36,
                                          .hidden_size = 128,
                                          .intermediate_size = 128,
                                          .num_experts = 9,
                                          .top_k = 3,
                                          .load = self_test::ExpertChoice::kRandom,
                                          .shared_size = 256});
    experts.Run(table, runner.context);
    for (const DType dtype : {DType::kBf16, DType::kI8, DType::kF32}) {
      self_test::MlaAttentionProblem attention(spec,
                                               {.num_heads = 2,
                                                .nope_dim = 64,
                                                .rope_dim = 64,
                                                .kv_lora_rank = 512,
                                                .v_head_dim = 64,
                                                .block_size = 64,
                                                .sequences = {{70, 7}, {20, 1}}},
                                               dtype);
      attention.Call(table, runner.context);
    }
  }
  self_test::SampleProblem sample({.num_rows = 3, .vocab_size = 5000});
  sample.Call(table, runner.context);
}

}  // namespace
}  // namespace hadal::cuda
