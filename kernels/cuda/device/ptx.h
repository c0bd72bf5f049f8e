#pragma once

// The instructions that have no name in CUDA C++, one function each. Tests put a header of the same
// name before this one (tests/support/cuda_emulation), so that kernels run without a GPU.
// Source of shapes and layouts: NVIDIA's "Parallel Thread Execution ISA", version 9.0, sections
// 9.7.9 (data movement) and 9.7.14 (warp level matrix instructions).

#include <cstddef>
#include <cstdint>

namespace hadal::cuda {

/// The block's dynamic shared memory, aligned to 1024 bytes. The only way to shared memory.
__device__ __forceinline__ std::byte* DynamicShared() {
  extern __shared__ __align__(1024) unsigned char hadal_dynamic_shared[];
  return reinterpret_cast<std::byte*>(hadal_dynamic_shared);
}

/// Waits until all kernels that were launched before are done and their results are there. Every
/// thread of every kernel calls it, and touches no memory but weights before: a kernel that did not
/// wait would let the one behind it overtake the one before it.
__device__ __forceinline__ void WaitForEarlierKernels() {
  asm volatile("griddepcontrol.wait;" ::: "memory");
}

/// When all blocks have called it, those of the next kernel may begin where there is room.
__device__ __forceinline__ void LetNextKernelBegin() {
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
}

__device__ __forceinline__ uint32_t SharedAddress(const void* shared) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(shared));
}

/// Begins to copy 16 bytes to shared memory: `num_bytes` (0 to 16) of them from `global`, zeros for
/// the rest. Both are aligned to 16 bytes; `global` is not read where num_bytes is 0.
__device__ __forceinline__ void CopyAsync16(void* shared, const void* global, int num_bytes) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(SharedAddress(shared)),
               "l"(global),
               "r"(num_bytes)
               : "memory");
}

/// Ends a group of this thread's copies.
__device__ __forceinline__ void CommitCopies() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}

/// Waits until all but this thread's last kPending groups have arrived. Others see them after a
/// barrier.
template <int kPending>
__device__ __forceinline__ void WaitForCopies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

/// Four 8 x 8 matrices of 16-bit elements: lane 8i + r names row r of matrix i (16 bytes, aligned);
/// lane 4r + c gets elements 2c and 2c + 1 of row r of matrix i in out[i].
__device__ __forceinline__ void LoadMatrices(uint32_t (&out)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(SharedAddress(row))
               : "memory");
}

/// The same with every matrix transposed: lane 4r + c gets rows 2c and 2c + 1 of column r.
__device__ __forceinline__ void LoadMatricesTransposed(uint32_t (&out)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(SharedAddress(row))
               : "memory");
}

/// d += a · b, a [16, 16] and b [16, 8] in bf16, d [16, 8] in float. Lane 4g + t holds
///   a: {rows g, g + 8} x columns 2t, 2t + 1 in a[0], a[1]; x columns 2t + 8, 2t + 9 in a[2], a[3]
///   b: rows 2t, 2t + 1 of column g in b[0]; rows 2t + 8, 2t + 9 in b[1]
///   d: row g, columns 2t, 2t + 1 in d[0], d[1]; row g + 8 in d[2], d[3]
__device__ __forceinline__ void MultiplyBf16(float (&d)[4],
                                             const uint32_t (&a)[4],
                                             const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/// Two floats rounded to bf16, ties to even; `low` in the low half.
__device__ __forceinline__ uint32_t PackBf16(float low, float high) {
  uint32_t packed;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
  return packed;
}

/// Two floats rounded to e4m3, ties to even, ±448 for larger ones; `low` in the low byte.
__device__ __forceinline__ uint16_t PackFp8(float low, float high) {
  uint16_t packed;
  asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(packed) : "f"(high), "f"(low));
  return packed;
}

/// a * b + c of two bf16 numbers each, rounded once.
__device__ __forceinline__ uint32_t MultiplyAddBf16(uint32_t a, uint32_t b, uint32_t c) {
  uint32_t d;
  asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
  return d;
}

/// Two e4m3 numbers, exactly, as f16: the low byte in the low half.
__device__ __forceinline__ uint32_t WidenFp8(uint16_t pair) {
  uint32_t halves;
  asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(halves) : "h"(pair));
  return halves;
}

/// An f16 number, exactly.
__device__ __forceinline__ float WidenF16(uint16_t half) {
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(half));
  return value;
}

}  // namespace hadal::cuda
