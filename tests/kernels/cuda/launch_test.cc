// Launches and recordings on the emulated GPU, and what it ends the program for.

#include "kernels/cuda/device/launch.h"

#include <gtest/gtest.h>

#include "kernels/cuda/device/memory.h"
#include "kernels/cuda/device/ptx.h"
#include "tests/support/emulated_table.h"

namespace hadal::cuda {
namespace {

__global__ void Add(int* sum, int addend) {
  LetNextKernelBegin();
  WaitForEarlierKernels();
  *sum += addend;
}

__global__ void AddAtOnce(int* sum, int addend) {
  *sum += addend;
}

class LaunchTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!test::EmulatesCuda()) {
      GTEST_SKIP() << "no emulated GPU in this build";
    }
    auto buffer = DeviceBuffer::Allocate(gpu_, sizeof(int));
    CHECK(buffer.ok());
    buffer_ = *std::move(buffer);
  }

  [[nodiscard]] int* sum() const { return static_cast<int*>(buffer_.data()); }

  [[nodiscard]] int Fetch() const {
    int value = 0;
    gpu_.copy(&value, buffer_.data(), sizeof(value));
    return value;
  }

  const Device& gpu_ = GpuDevice();
  DeviceBuffer buffer_;
};

using LaunchDeathTest = LaunchTest;

TEST_F(LaunchTest, ARecordingIsDoneWhenItIsReplayed) {
  int addend = 1;
  const auto recording = DeviceRecording::Record(gpu_, [&] {
    Launch("add", Add, {.grid = 1, .threads = 1}, sum(), addend);
    Launch("add", Add, {.grid = 1, .threads = 1}, sum(), 20);
  });
  EXPECT_EQ(Fetch(), 0);
  addend = 100;
  recording.Replay();
  EXPECT_EQ(Fetch(), 21) << "arguments are those of the recording";
  recording.Replay();
  EXPECT_EQ(Fetch(), 42);
  Launch("add", Add, {.grid = 1, .threads = 1}, sum(), addend);
  EXPECT_EQ(Fetch(), 142);
}

TEST_F(LaunchTest, CopiesThatBeganAreThereForTheNextKernel) {
  auto host = DeviceBuffer::Allocate(HostOf(gpu_), sizeof(int));
  ASSERT_TRUE(host.ok());
  auto* value = static_cast<int*>(host->data());
  EXPECT_EQ(*value, 0);
  *value = 5;
  gpu_.begin_copy(sum(), value, sizeof(int));
  Launch("add", Add, {.grid = 1, .threads = 1}, sum(), 2);
  gpu_.finish_copies();
  *value = 0;
  EXPECT_EQ(Fetch(), 7);
}

TEST_F(LaunchDeathTest, AKernelThatDoesNotWaitForEarlierOnes) {
  EXPECT_DEATH(Launch("add_at_once", AddAtOnce, {.grid = 1, .threads = 1}, sum(), 1), "has_waited");
}

TEST_F(LaunchDeathTest, NothingIsCopiedOrAllocatedWhileRecording) {
  EXPECT_DEATH(DeviceRecording::Record(gpu_, [&] { static_cast<void>(Fetch()); }), "Captured");
  EXPECT_DEATH(DeviceRecording::Record(gpu_, [&] { gpu_.allocate(1); }), "Captured");
  EXPECT_DEATH(DeviceRecording::Record(gpu_, [&] { HostOf(gpu_).allocate(1); }), "Captured");
}

}  // namespace
}  // namespace hadal::cuda
