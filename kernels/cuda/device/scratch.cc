#include "kernels/cuda/device/scratch.h"

#include <memory>

#include "base/checked_cast.h"
#include "kernels/execution_context.h"

namespace hadal::cuda {

Scratch::Scratch(ExecutionContext& context)
    : context_(context),
      scope_(std::construct_at(reinterpret_cast<ScratchScope*>(storage_), context.scratch)) {
  static_assert(sizeof(ScratchScope) <= sizeof(storage_) && alignof(ScratchScope) <= 8);
}

Scratch::~Scratch() {
  std::destroy_at(scope_);
}

void* Scratch::AllocateBytes(size_t size_bytes) {
  return context_.scratch.Allocate<std::byte>(CheckedCast<int64_t>(size_bytes)).data;
}

}  // namespace hadal::cuda
