#include "kernels/cuda/device/scratch.h"

#include <memory>
#include <new>

#include "base/checked_cast.h"
#include "kernels/execution_context.h"

namespace hadal::cuda {

Scratch::Scratch(ExecutionContext& context) : context_(context) {
  static_assert(sizeof(ScratchScope) <= sizeof(scope_) && alignof(ScratchScope) <= 8);
  new (scope_) ScratchScope(context.scratch);
}

Scratch::~Scratch() {
  std::destroy_at(std::launder(reinterpret_cast<ScratchScope*>(scope_)));
}

void* Scratch::AllocateBytes(size_t size_bytes) {
  return context_.scratch.Allocate<std::byte>(CheckedCast<int64_t>(size_bytes)).data;
}

}  // namespace hadal::cuda
