#pragma once

namespace hadal {

/// Tells the processor that this thread spins: its core's other thread, and power, are better used
/// elsewhere. Some tens of nanoseconds.
inline void Pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb");  // "yield" does nothing on most cores
#endif
}

}  // namespace hadal
