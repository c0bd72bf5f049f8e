#pragma once

#include "base/thread_pool.h"
#include "kernels/scratch_arena.h"

namespace hadal {

/// What an op needs besides its arguments. One per thread that runs ops.
struct ExecutionContext {
  ThreadPool& pool;
  ScratchArena& scratch;
};

}  // namespace hadal
