#pragma once

namespace hadal {

/// Writes the call stack of every thread of the process to stderr, for people. Waits up to a second
/// in all: a thread that does not answer, as one that blocks signals or is held in the kernel, is
/// named without its stack.
///
/// Each thread writes its own stack when it gets SIGUSR2, whose handler this function takes for
/// good: a signal that arrives late must find it. One thread at a time; a second call meanwhile
/// returns at once.
void DumpStacks();

}  // namespace hadal
