#pragma once

#include "base/thread_pool.h"
#include "kernels/scratch_arena.h"

namespace hadal {

class StepRecordings;

/// What an op needs besides its arguments. One per thread that runs ops.
struct ExecutionContext {
  ThreadPool& pool;
  ScratchArena& scratch;  // of the device where the op's tensors lie
  /// For temporaries of the host where that is another device; null: `scratch` serves.
  ScratchArena* host_scratch = nullptr;
  /// The engine's, of steps that ran with this context (engine/model/step_recordings.h); no op's.
  /// Null: steps are not recorded.
  StepRecordings* recordings = nullptr;
};

inline ScratchArena& HostScratch(ExecutionContext& context) {
  return context.host_scratch != nullptr ? *context.host_scratch : context.scratch;
}

}  // namespace hadal
