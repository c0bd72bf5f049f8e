#include "tests/bench/cuda/gpu.h"

#include <algorithm>
#include <array>
#include <functional>

#include "base/check.h"
#include "base/checked_cast.h"
#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/memory.h"
#include "tests/bench/cuda/gpu_kernels.h"

namespace hadal::bench {
namespace {

constexpr int64_t kBlock = 128;  // of fp8 scales

double MedianTime(const std::function<void()>& launch) {
  std::array<double, 7> times = {};
  GpuTimer timer;
  launch();
  for (double& time : times) {
    timer.Start();
    launch();
    time = timer.Stop();
  }
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

}  // namespace

void* RandomMemory::Allocate(int64_t size_bytes) {
  auto buffer = DeviceBuffer::Allocate(cuda::GpuDevice(), CheckedCast<size_t>(size_bytes));
  CHECK(buffer.ok());
  buffers_.push_back(*std::move(buffer));
  return buffers_.back().data();
}

void* RandomMemory::CopyBytes(const void* host, size_t size_bytes) {
  void* data = Allocate(CheckedCast<int64_t>(size_bytes));
  cuda::GpuDevice().copy(data, host, size_bytes);
  return data;
}

float* RandomMemory::Floats(int64_t count, float scale) {
  auto* data = static_cast<float*>(Allocate(count * int64_t{sizeof(float)}));
  LaunchFillFloats(data, count, scale);
  return data;
}

void* RandomMemory::Bf16Rows(int64_t count) {
  void* data = Allocate(count * 2);
  LaunchFillBf16(data, count, 1);
  return data;
}

WeightMatrix RandomMemory::Matrix(WeightFormat format, int64_t rows, int64_t cols) {
  WeightMatrix matrix = {.format = format, .rows = rows, .cols = cols};
  if (format == WeightFormat::kBf16) {
    void* data = Allocate(rows * cols * 2);
    LaunchFillBf16(data, rows * cols, 0.05F);
    matrix.payload = data;
    return matrix;
  }
  CHECK(format == WeightFormat::kFp8Block);
  void* data = Allocate(rows * cols);
  LaunchFillFp8(data, rows * cols);
  matrix.payload = data;
  matrix.block_rows = kBlock;
  matrix.block_cols = kBlock;
  matrix.scales = Floats((rows + kBlock - 1) / kBlock * ((cols + kBlock - 1) / kBlock), 0.0002F);
  return matrix;
}

std::vector<MlpWeights> RandomMemory::Experts(WeightFormat format,
                                              int64_t count,
                                              int64_t hidden_size,
                                              int64_t intermediate_size) {
  std::vector<MlpWeights> experts(CheckedCast<size_t>(count));
  const auto fill = [&](WeightMatrix MlpWeights::*part, int64_t rows, int64_t cols) {
    const int64_t padded_rows = (rows + kBlock - 1) / kBlock * kBlock;
    const WeightMatrix all = Matrix(format, count * padded_rows, cols);
    for (int64_t i = 0; i < count; ++i) {
      WeightMatrix one = all.Rows(i * padded_rows, padded_rows);
      one.rows = rows;
      experts[CheckedCast<size_t>(i)].*part = one;
    }
  };
  fill(&MlpWeights::gate_proj, intermediate_size, hidden_size);
  fill(&MlpWeights::up_proj, intermediate_size, hidden_size);
  fill(&MlpWeights::down_proj, hidden_size, intermediate_size);
  return experts;
}

GpuTimer::GpuTimer() {
  cudaEvent_t begin = nullptr;
  cudaEvent_t end = nullptr;
  cuda::CheckCuda(cudaEventCreate(&begin), "cudaEventCreate");
  cuda::CheckCuda(cudaEventCreate(&end), "cudaEventCreate");
  begin_ = begin;
  end_ = end;
}

GpuTimer::~GpuTimer() {
  cudaEventDestroy(static_cast<cudaEvent_t>(begin_));
  cudaEventDestroy(static_cast<cudaEvent_t>(end_));
}

void GpuTimer::Start() {
  cuda::CheckCuda(cudaEventRecord(static_cast<cudaEvent_t>(begin_), cuda::Stream()), "start");
}

double GpuTimer::Stop() {
  const auto end = static_cast<cudaEvent_t>(end_);
  cuda::CheckCuda(cudaEventRecord(end, cuda::Stream()), "stop");
  cuda::CheckCuda(cudaEventSynchronize(end), "what was timed");
  float milliseconds = 0;
  cuda::CheckCuda(cudaEventElapsedTime(&milliseconds, static_cast<cudaEvent_t>(begin_), end),
                  "elapsed time");
  return double{milliseconds} * 1000;
}

GpuLimits MeasureGpuLimits() {
  constexpr int64_t kBytes = int64_t{4} << 30U;
  constexpr int kIterations = 4096;
  constexpr int kLaunches = 1000;
  RandomMemory memory;
  float* data = memory.Floats(kBytes / int64_t{sizeof(float)}, 1);
  float* target = memory.Floats(kBytes / int64_t{sizeof(float)}, 1);
  double operations = 0;
  const double read = MedianTime([&] { LaunchRead(data, kBytes, target); });
  const double copy = MedianTime([&] { LaunchCopy(data, target, kBytes); });
  const double multiply = MedianTime([&] { operations = LaunchMultiply(kIterations, target); });
  const double launch = MedianTime([] {
    for (int i = 0; i < kLaunches; ++i) {
      LaunchNothing();
    }
  });
  return {.read_bytes_per_second = static_cast<double>(kBytes) / read * 1e6,
          .copy_bytes_per_second = 2.0 * static_cast<double>(kBytes) / copy * 1e6,
          .bf16_ops_per_second = operations / multiply * 1e6,
          .launch_microseconds = launch / kLaunches};
}

}  // namespace hadal::bench
