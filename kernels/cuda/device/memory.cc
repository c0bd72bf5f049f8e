#include "kernels/cuda/device/memory.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/check.h"
#include "kernels/cuda/device/launch.h"

namespace hadal::cuda {
namespace {

void* AllocateGpu(size_t size_bytes) {
  void* data = nullptr;
  const cudaError_t error = cudaMalloc(&data, size_bytes);
  if (error == cudaErrorMemoryAllocation) {
    static_cast<void>(cudaGetLastError());  // it is not the next call's
    return nullptr;
  }
  CheckCuda(error, "cudaMalloc");
  CheckCuda(cudaMemsetAsync(data, 0, size_bytes, Stream()), "cudaMemset");
  return data;
}

void FreeGpu(void* data) {
  CheckCuda(cudaStreamSynchronize(Stream()), "before cudaFree");
  CheckCuda(cudaFree(data), "cudaFree");
}

void CopyGpu(void* to, const void* from, size_t size_bytes) {
  CheckCuda(cudaMemcpyAsync(to, from, size_bytes, cudaMemcpyDefault, Stream()), "copy");
  CheckCuda(cudaStreamSynchronize(Stream()), "copy, or a kernel before it");
}

void BeginCopyGpu(void* to, const void* from, size_t size_bytes) {
  CheckCuda(cudaMemcpyAsync(to, from, size_bytes, cudaMemcpyDefault, Stream()), "begin to copy");
}

void FinishCopiesGpu() {
  CheckCuda(cudaStreamSynchronize(Stream()), "copies, or a kernel before them");
}

// Pages that the system may not move, so that the GPU reads and writes them itself.
void* AllocatePinned(size_t size_bytes) {
  void* data = nullptr;
  const cudaError_t error = cudaHostAlloc(&data, size_bytes, cudaHostAllocDefault);
  if (error == cudaErrorMemoryAllocation) {
    static_cast<void>(cudaGetLastError());  // it is not the next call's
    return nullptr;
  }
  CheckCuda(error, "cudaHostAlloc");
  std::memset(data, 0, size_bytes);
  return data;
}

void FreePinned(void* data) {
  CheckCuda(cudaFreeHost(data), "cudaFreeHost");
}

constexpr Device kPinnedHost = {
    .name = "cpu, pinned", .allocate = &AllocatePinned, .free = &FreePinned};

int64_t AvailableGpuBytes() {
  size_t free_bytes = 0;
  size_t total_bytes = 0;
  CheckCuda(cudaMemGetInfo(&free_bytes, &total_bytes), "cudaMemGetInfo");
  return static_cast<int64_t>(free_bytes);
}

// Other threads may do with the device meanwhile what they like.
void BeginRecording() {
  CheckCuda(cudaStreamBeginCapture(Stream(), cudaStreamCaptureModeThreadLocal), "begin recording");
}

void* EndRecording() {
  cudaGraph_t graph = nullptr;
  CheckCuda(cudaStreamEndCapture(Stream(), &graph), "end recording");
  cudaGraphExec_t recording = nullptr;
  CheckCuda(cudaGraphInstantiate(&recording, graph, 0), "cudaGraphInstantiate");
  CheckCuda(cudaGraphDestroy(graph), "cudaGraphDestroy");
  return recording;
}

void ReplayRecording(void* recording) {
  CheckCuda(cudaGraphLaunch(static_cast<cudaGraphExec_t>(recording), Stream()), "cudaGraphLaunch");
}

void FreeRecording(void* recording) {
  CheckCuda(cudaStreamSynchronize(Stream()), "before cudaGraphExecDestroy");
  CheckCuda(cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(recording)), "cudaGraphExecDestroy");
}

}  // namespace

const Device& GpuDevice() {
  static constexpr DeviceRecorder kRecorder = {.begin = &BeginRecording,
                                               .end = &EndRecording,
                                               .replay = &ReplayRecording,
                                               .free = &FreeRecording};
  static constexpr Device kGpu = {.name = "cuda",
                                  .allocate = &AllocateGpu,
                                  .free = &FreeGpu,
                                  .copy = &CopyGpu,
                                  .is_host = false,
                                  .available_bytes = &AvailableGpuBytes,
                                  .begin_copy = &BeginCopyGpu,
                                  .finish_copies = &FinishCopiesGpu,
                                  .host = &kPinnedHost,
                                  .recorder = &kRecorder};
  return kGpu;
}

absl::Status CheckGpu() {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess) {
    return Unavailable("kernels \"cuda\": no GPU: %s", cudaGetErrorString(error));
  }
  cudaDeviceProp properties = {};
  CheckCuda(cudaGetDeviceProperties(&properties, 0), "cudaGetDeviceProperties");
  if (properties.major != 9 || properties.minor != 0) {
    return Unavailable("kernels \"cuda\": %s has compute capability %d.%d, they need 9.0 (Hopper)",
                       properties.name,
                       properties.major,
                       properties.minor);
  }
  return absl::OkStatus();
}

cudaStream_t Stream() {
  static cudaStream_t stream = [] {
    cudaStream_t created = nullptr;
    CheckCuda(cudaStreamCreateWithFlags(&created, cudaStreamNonBlocking), "cudaStreamCreate");
    return created;
  }();
  return stream;
}

void CheckCuda(cudaError_t error, const char* what) {
  if (error != cudaSuccess) [[unlikely]] {
    std::fprintf(stderr, "CUDA: %s: %s\n", what, cudaGetErrorString(error));
    std::abort();
  }
}

}  // namespace hadal::cuda
