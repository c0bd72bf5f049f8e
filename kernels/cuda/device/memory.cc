#include "kernels/cuda/device/memory.h"

#include <cstdio>
#include <cstdlib>

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

int64_t AvailableGpuBytes() {
  size_t free_bytes = 0;
  size_t total_bytes = 0;
  CheckCuda(cudaMemGetInfo(&free_bytes, &total_bytes), "cudaMemGetInfo");
  return static_cast<int64_t>(free_bytes);
}

}  // namespace

const Device& GpuDevice() {
  static constexpr Device kGpu = {.name = "cuda",
                                  .allocate = &AllocateGpu,
                                  .free = &FreeGpu,
                                  .copy = &CopyGpu,
                                  .is_host = false,
                                  .available_bytes = &AvailableGpuBytes};
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
