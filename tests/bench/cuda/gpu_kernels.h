#pragma once

#include <cstdint>

// Launches of gpu.cu; all memory is the GPU's.

namespace hadal::bench {

void LaunchFillFloats(float* out, int64_t count, float scale);
void LaunchFillBf16(void* out, int64_t count, float scale);
void LaunchFillFp8(void* out, int64_t count);
/// `out` has room for a block of threads, in words.
void LaunchRead(const void* data, int64_t size_bytes, void* out);
void LaunchCopy(const void* from, void* to, int64_t size_bytes);
/// Returns the operations done. `out` as above.
double LaunchMultiply(int iterations, void* out);
void LaunchNothing();

}  // namespace hadal::bench
