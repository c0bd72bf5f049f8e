#pragma once

// The part of CUDA's runtime that Hadal uses, on emulator.h: found before the toolkit's header of
// this name.

#include <cstdlib>
#include <functional>
#include <memory>
#include <tuple>

#include "tests/support/cuda_emulation/cuda_language.h"

using cudaStream_t = void*;
using cudaGraph_t = hadal::emulation::Launches*;
using cudaGraphExec_t = hadal::emulation::Launches*;

enum cudaError_t { cudaSuccess = 0, cudaErrorMemoryAllocation = 2 };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize };
enum cudaMemcpyKind { cudaMemcpyDefault };
enum cudaStreamCaptureMode { cudaStreamCaptureModeThreadLocal };
constexpr unsigned cudaStreamNonBlocking = 1;
constexpr unsigned cudaHostAllocDefault = 0;

enum cudaLaunchAttributeID { cudaLaunchAttributeProgrammaticStreamSerialization };
struct cudaLaunchAttribute {
  cudaLaunchAttributeID id;
  struct {
    int programmaticStreamSerializationAllowed;
  } val;
};

struct cudaLaunchConfig_t {
  dim3 gridDim;
  dim3 blockDim;
  size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
  cudaLaunchAttribute* attrs = nullptr;
  unsigned numAttrs = 0;
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
  hadal::emulation::CheckNotCapturing();
  hadal::emulation::FinishCopies();
  return cudaSuccess;
}
inline cudaError_t cudaMalloc(void** data, size_t size_bytes) {
  hadal::emulation::CheckNotCapturing();
  *data = hadal::emulation::AllocateDevice(size_bytes);
  return *data == nullptr ? cudaErrorMemoryAllocation : cudaSuccess;
}
inline cudaError_t cudaFree(void* data) {
  hadal::emulation::CheckNotCapturing();
  hadal::emulation::FinishCopies();
  hadal::emulation::FreeDevice(data);
  return cudaSuccess;
}
inline cudaError_t cudaMemcpyAsync(void* to,
                                   const void* from,
                                   size_t size_bytes,
                                   cudaMemcpyKind /*kind*/,
                                   cudaStream_t /*stream*/) {
  hadal::emulation::CheckNotCapturing();  // it would be recorded, which nobody asks for
  hadal::emulation::BeginCopy(to, from, size_bytes);
  return cudaSuccess;
}
inline cudaError_t cudaHostAlloc(void** data, size_t size_bytes, unsigned /*flags*/) {
  hadal::emulation::CheckNotCapturing();
  constexpr size_t kPage = 4096;
  *data = std::aligned_alloc(kPage, (size_bytes + kPage - 1) / kPage * kPage);
  return *data == nullptr ? cudaErrorMemoryAllocation : cudaSuccess;
}
inline cudaError_t cudaFreeHost(void* data) {
  hadal::emulation::CheckNotCapturing();
  hadal::emulation::FinishCopies();
  std::free(data);
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

inline cudaError_t cudaStreamBeginCapture(cudaStream_t /*stream*/, cudaStreamCaptureMode) {
  hadal::emulation::BeginCapture();
  return cudaSuccess;
}
inline cudaError_t cudaStreamEndCapture(cudaStream_t /*stream*/, cudaGraph_t* graph) {
  *graph = std::make_unique<hadal::emulation::Launches>(hadal::emulation::EndCapture()).release();
  return cudaSuccess;
}
inline cudaError_t cudaGraphInstantiate(cudaGraphExec_t* graph_exec,
                                        cudaGraph_t graph,
                                        unsigned long long /*flags*/) {
  *graph_exec = std::make_unique<hadal::emulation::Launches>(*graph).release();
  return cudaSuccess;
}
inline cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  const std::unique_ptr<const hadal::emulation::Launches> owned(graph);
  return cudaSuccess;
}
inline cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph_exec) {
  const std::unique_ptr<hadal::emulation::Launches> owned(graph_exec);
  hadal::emulation::Discard(std::move(*owned));
  return cudaSuccess;
}
inline cudaError_t cudaGraphLaunch(cudaGraphExec_t graph_exec, cudaStream_t /*stream*/) {
  hadal::emulation::CheckNotCapturing();
  for (const std::function<void()>& launch : *graph_exec) {
    launch();
  }
  return cudaSuccess;
}

namespace hadal::emulation {

template <typename... Params>
struct KernelCall {
  void (*kernel)(Params...);
  std::tuple<Params...> params;

  HADAL_NO_RACES static void Run(const void* call) {
    const auto* self = static_cast<const KernelCall*>(call);
    std::apply(self->kernel, self->params);
  }
};

}  // namespace hadal::emulation

template <typename... Params, typename... Args>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config,
                               void (*kernel)(Params...),
                               Args&&... args) {
  const auto index = [](const dim3& d) { return hadal::emulation::Index3{d.x, d.y, d.z}; };
  using Call = hadal::emulation::KernelCall<Params...>;
  hadal::emulation::Launch(
      [grid = index(config->gridDim),
       block = index(config->blockDim),
       shared_bytes = config->dynamicSmemBytes,
       call = std::make_shared<const Call>(Call{kernel, std::tuple<Params...>(args...)})] {
        hadal::emulation::RunGrid(grid, block, shared_bytes, &Call::Run, call.get());
      });
  return cudaSuccess;
}
