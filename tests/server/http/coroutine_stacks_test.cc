#include "server/http/coroutine_stacks.h"

#include <cstring>
#include <sys/resource.h>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>

namespace hadal {
namespace {

using Stack = boost::context::stack_context;

char* LowestByte(const Stack& stack) {
  return static_cast<char*>(stack.sp) - stack.size;
}

TEST(CoroutineStacks, AllOfAStackIsUsable) {
  CoroutineStacks stacks;
  CoroutineStacks::Allocator allocator(stacks);
  Stack stack = allocator.allocate();
  EXPECT_GE(stack.size, 128U << 10);
  std::memset(LowestByte(stack), 1, stack.size);
  allocator.deallocate(stack);
}

TEST(CoroutineStacks, SomeAreKept) {
  CoroutineStacks stacks;
  CoroutineStacks::Allocator allocator(stacks);
  Stack first = allocator.allocate();
  allocator.deallocate(first);
  Stack again = allocator.allocate();
  EXPECT_EQ(again.sp, first.sp);
  allocator.deallocate(again);
  std::vector<Stack> many;
  for (int i = 0; i < 200; ++i) {
    many.push_back(allocator.allocate());
  }
  for (Stack& stack : many) {
    allocator.deallocate(stack);
  }
}

TEST(CoroutineStacksDeathTest, AStackThatIsOverrunFaults) {
  CoroutineStacks stacks;
  CoroutineStacks::Allocator allocator(stacks);
  Stack stack = allocator.allocate();
  EXPECT_DEATH(*static_cast<volatile char*>(LowestByte(stack) - 1) = 1, "");
  allocator.deallocate(stack);
}

TEST(CoroutineStacksDeathTest, TheSystemMayRefuse) {
  CoroutineStacks stacks;
  const auto reserve_without_memory = [&stacks] {
    const rlimit none = {.rlim_cur = 0, .rlim_max = 0};
    setrlimit(RLIMIT_AS, &none);
    _exit(stacks.Reserve() ? 1 : 0);
  };
  EXPECT_EXIT(reserve_without_memory(), testing::ExitedWithCode(0), "");
  EXPECT_TRUE(stacks.Reserve());
}

TEST(CoroutineStacksDeathTest, NoneMayBeLeftInUse) {
  const auto leave = [] {
    CoroutineStacks stacks;
    CoroutineStacks::Allocator(stacks).allocate();
  };
  EXPECT_DEATH(leave(), "num_used_");
}

}  // namespace
}  // namespace hadal
