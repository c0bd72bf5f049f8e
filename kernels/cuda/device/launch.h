#pragma once

#include <cstddef>
#include <cuda_runtime.h>
#include <type_traits>

namespace hadal::cuda {

/// Blocks and threads of a launch, and the bytes of DynamicShared() (device/ptx.h) in each block.
struct LaunchShape {
  dim3 grid;
  unsigned threads;
  size_t shared_bytes = 0;
};

/// What ops are launched on, one after the other, by one thread. Created when it is first asked
/// for.
cudaStream_t Stream();

/// Ends the program with the kernel's name and the runtime's words unless `error` is success: after
/// a fault the driver answers nothing else to this process.
void CheckCuda(cudaError_t error, const char* what);

/// Launches kernel(args...) on Stream(). Nothing happens when the grid is empty. The kernel may
/// begin while those before it run, so each of its threads calls WaitForEarlierKernels
/// (device/ptx.h) before it touches what they write or read; LetNextKernelBegin lets the next one
/// begin so.
template <typename... Params>
void Launch(const char* name,
            void (*kernel)(Params...),
            const LaunchShape& shape,
            std::type_identity_t<Params>... args) {
  if (shape.grid.x == 0 || shape.grid.y == 0 || shape.grid.z == 0) {
    return;
  }
  constexpr size_t kUsualShared = size_t{48} << 10U;  // more has to be asked for
  if (shape.shared_bytes > kUsualShared) {
    CheckCuda(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                   cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   static_cast<int>(shape.shared_bytes)),
              name);
  }
  cudaLaunchConfig_t config = {};
  config.gridDim = shape.grid;
  config.blockDim = dim3(shape.threads);
  config.dynamicSmemBytes = shape.shared_bytes;
  config.stream = Stream();
  cudaLaunchAttribute overlap = {};
  overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  overlap.val.programmaticStreamSerializationAllowed = 1;
  config.attrs = &overlap;
  config.numAttrs = 1;
  CheckCuda(cudaLaunchKernelEx(&config, kernel, args...), name);
}

}  // namespace hadal::cuda
