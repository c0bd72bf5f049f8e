#pragma once

// A GPU for tests: runs the threads of a CUDA kernel as coroutines of one CPU thread, one block
// after the other in an order of its own, and device memory that the host cannot touch. With the
// headers of this folder before the toolkit's, CUDA sources compile as C++ and their indices,
// barriers and results can be checked anywhere. It ends the program at a deadlock, at an access
// outside an allocation (the page behind it is not mapped), and at a misaligned one that it sees;
// shared memory is full of NaN when a block begins; copies to shared memory arrive as late as they
// may. It says nothing of speed, nor of races between threads that need no barrier here.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace hadal::emulation {

struct Index3 {
  unsigned x = 0;
  unsigned y = 0;
  unsigned z = 0;
};

/// What a graph holds.
using Launches = std::vector<std::function<void()>>;

/// Calls run(), or keeps it for EndCapture where this thread captures.
void Launch(std::function<void()> run);
/// Keeps what will not be launched again until its kernels have run.
void Discard(Launches launches);
/// Calls of Launch so far.
int64_t NumLaunches();
void BeginCapture();
Launches EndCapture();
/// Ends the program where this thread captures: for calls that fail then.
void CheckNotCapturing();

/// Runs body(params) as every thread of every block. Device memory is accessible meanwhile.
void RunGrid(Index3 grid,
             Index3 block,
             size_t shared_bytes,
             void (*body)(const void* params),
             const void* params);

/// Waits for all threads of the block that have not ended.
void SyncThreads();

/// Waits for the lanes of the caller's warp that are named in `mask`; the last to come calls
/// join(arguments by lane), with null for others, before any goes on.
void JoinWarp(uint32_t mask, void* argument, void (*join)(void* const* arguments));

/// The caller's place in its warp.
int Lane();

std::byte* DynamicShared();

/// As in kernels/cuda/device/ptx.h. A thread that ends without a call ends the program.
void WaitForEarlierKernels();

/// As in kernels/cuda/device/ptx.h. Bytes arrive when WaitForCopies says they must.
void CopyAsync16(void* shared, const void* global, int num_bytes);
void CommitCopies();
void WaitForCopies(int num_pending);

void CheckAligned(const void* address, size_t alignment);

/// Device memory, zeroed, aligned to 256 bytes or ending at the end of a page, whichever is
/// stricter about what lies behind it. Null when there is no room.
void* AllocateDevice(size_t size_bytes);
void FreeDevice(void* data);

/// Begins a memcpy that may touch device memory. It happens as late as it may: in FinishCopies,
/// which the next kernel calls too.
void BeginCopy(void* to, const void* from, size_t size_bytes);
void FinishCopies();

}  // namespace hadal::emulation

// Of the thread that runs, by the names of CUDA C++.
extern constinit thread_local hadal::emulation::Index3 threadIdx;
extern constinit thread_local hadal::emulation::Index3 blockIdx;
extern constinit thread_local hadal::emulation::Index3 blockDim;
extern constinit thread_local hadal::emulation::Index3 gridDim;
