#include "server/http/coroutine_stacks.h"

#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#include "base/check.h"

namespace hadal {
namespace {

using Stack = boost::context::stack_context;

// Routes parse, render and tokenise on it, and build replies.
constexpr size_t kStackBytes = 256 << 10;
constexpr size_t kGuardBytes = 4 << 10;
constexpr size_t kMaxFree = 64;

// Where `stack` begins, above its guard.
char* LowestByte(const Stack& stack) {
  return static_cast<char*>(stack.sp) - stack.size;
}

// The address of the mapping that `stack` is the upper part of.
void* MappingOf(const Stack& stack) {
  return LowestByte(stack) - kGuardBytes;
}

// sp is null when the system refuses.
Stack MapStack() {
  Stack stack;
  void* const mapping = mmap(nullptr,
                             kGuardBytes + kStackBytes,
                             PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE,
                             -1,
                             0);
  if (mapping == MAP_FAILED) {
    return stack;
  }
  if (mprotect(mapping, kGuardBytes, PROT_NONE) != 0) {
    munmap(mapping, kGuardBytes + kStackBytes);
    return stack;
  }
  stack.size = kStackBytes;
  stack.sp = static_cast<char*>(mapping) + kGuardBytes + kStackBytes;
  return stack;
}

void UnmapStack(const Stack& stack) {
  munmap(MappingOf(stack), kGuardBytes + kStackBytes);
}

}  // namespace

// The switch itself is Asio's and has happened already, or happens next.
void CoroutineStackNote::Enter() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(nullptr, LowestByte(stack_), stack_.size);
  __sanitizer_finish_switch_fiber(nullptr, &outer_bottom_, &outer_size_);
#endif
}

void CoroutineStackNote::Leave() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(nullptr, outer_bottom_, outer_size_);
  __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
#endif
}

CoroutineStacks::~CoroutineStacks() {
  CHECK_EQ(num_used_, 0U);
  for (const Stack& stack : free_) {
    UnmapStack(stack);
  }
}

std::optional<Stack> CoroutineStacks::Take() {
  Stack stack;
  if (free_.empty()) {
    stack = MapStack();
    if (stack.sp == nullptr) {
      return std::nullopt;
    }
  } else {
    stack = free_.back();
    free_.pop_back();
  }
  ++num_used_;
  return stack;
}

void CoroutineStacks::Give(const Stack& stack) {
#if defined(__SANITIZE_ADDRESS__)
  // A coroutine's outermost frames never return, so their red zones would stay.
  __asan_unpoison_memory_region(LowestByte(stack), stack.size);
#endif
  --num_used_;
  if (free_.size() < kMaxFree) {
    free_.push_back(stack);
  } else {
    UnmapStack(stack);
  }
}

}  // namespace hadal
