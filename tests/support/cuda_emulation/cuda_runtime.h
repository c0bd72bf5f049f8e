#pragma once

// The part of CUDA's runtime that Hadal uses, on emulator.h: found before the toolkit's header of
// this name.

#include "tests/support/cuda_emulation/cuda_language.h"

using cudaStream_t = void*;

enum cudaError_t { cudaSuccess = 0, cudaErrorMemoryAllocation = 2 };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize };
enum cudaMemcpyKind { cudaMemcpyDefault };
constexpr unsigned cudaStreamNonBlocking = 1;

struct cudaLaunchConfig_t {
  dim3 gridDim;
  dim3 blockDim;
  size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
};

struct cudaDeviceProp {
  char name[32] = "emulated";
  size_t totalGlobalMem = size_t{1} << 34U;
  int multiProcessorCount = 3;
  int major = 9;
  int minor = 0;
};

inline const char* cudaGetErrorString(cudaError_t /*error*/) {
  return "an error of the emulated GPU";
}
inline cudaError_t cudaGetLastError() {
  return cudaSuccess;
}
inline cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
inline cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int /*device*/) {
  *properties = {};
  return cudaSuccess;
}
inline cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  *free = size_t{1} << 34U;
  *total = size_t{1} << 34U;
  return cudaSuccess;
}
inline cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned /*flags*/) {
  *stream = nullptr;
  return cudaSuccess;
}
inline cudaError_t cudaStreamSynchronize(cudaStream_t /*stream*/) {
  return cudaSuccess;
}
inline cudaError_t cudaMalloc(void** data, size_t size_bytes) {
  *data = hadal::emulation::AllocateDevice(size_bytes);
  return *data == nullptr ? cudaErrorMemoryAllocation : cudaSuccess;
}
inline cudaError_t cudaFree(void* data) {
  hadal::emulation::FreeDevice(data);
  return cudaSuccess;
}
inline cudaError_t cudaMemcpyAsync(void* to,
                                   const void* from,
                                   size_t size_bytes,
                                   cudaMemcpyKind /*kind*/,
                                   cudaStream_t /*stream*/) {
  hadal::emulation::CopyAny(to, from, size_bytes);
  return cudaSuccess;
}
// Fresh pages of the emulator are zeros.
inline cudaError_t cudaMemsetAsync(void* /*data*/,
                                   int /*value*/,
                                   size_t /*size_bytes*/,
                                   cudaStream_t) {
  return cudaSuccess;
}
inline cudaError_t cudaFuncSetAttribute(const void* /*kernel*/, cudaFuncAttribute, int /*value*/) {
  return cudaSuccess;
}

template <typename... Params, typename... Args>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config,
                               void (*kernel)(Params...),
                               Args&&... args) {
  const auto index = [](const dim3& d) { return hadal::emulation::Index3{d.x, d.y, d.z}; };
  hadal::emulation::RunGrid(
      index(config->gridDim), index(config->blockDim), config->dynamicSmemBytes, [&] {
        kernel(args...);
      });
  return cudaSuccess;
}
