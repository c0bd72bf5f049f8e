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
  const Stack stack = *stacks.Take();
  EXPECT_GE(stack.size, 128U << 10);
  std::memset(LowestByte(stack), 1, stack.size);
  stacks.Give(stack);
}

TEST(CoroutineStacks, SomeAreKept) {
  CoroutineStacks stacks;
  const Stack first = *stacks.Take();
  stacks.Give(first);
  const Stack again = *stacks.Take();
  EXPECT_EQ(again.sp, first.sp);
  stacks.Give(again);
  std::vector<Stack> many;
  for (int i = 0; i < 200; ++i) {
    many.push_back(*stacks.Take());
  }
  for (const Stack& stack : many) {
    stacks.Give(stack);
  }
}

TEST(CoroutineStacks, AsBoostAsksForThem) {
  CoroutineStacks stacks;
  const Stack taken = *stacks.Take();
  CoroutineStacks::Allocator allocator(stacks, taken);
  Stack stack = allocator.allocate();
  EXPECT_EQ(stack.sp, taken.sp);
  EXPECT_EQ(stack.size, taken.size);
  allocator.deallocate(stack);
}

TEST(CoroutineStacksDeathTest, AStackThatIsOverrunFaults) {
  CoroutineStacks stacks;
  const Stack stack = *stacks.Take();
  EXPECT_DEATH(*static_cast<volatile char*>(LowestByte(stack) - 1) = 1, "");
  stacks.Give(stack);
}

TEST(CoroutineStacksDeathTest, TheSystemMayRefuse) {
  CoroutineStacks stacks;
  const auto take_without_memory = [&stacks] {
    const rlimit none = {.rlim_cur = 0, .rlim_max = 0};
    setrlimit(RLIMIT_AS, &none);
    _exit(stacks.Take().has_value() ? 1 : 0);
  };
  EXPECT_EXIT(take_without_memory(), testing::ExitedWithCode(0), "");
}

TEST(CoroutineStacksDeathTest, NoneMayBeLeftInUse) {
  const auto leave = [] {
    CoroutineStacks stacks;
    stacks.Take();
  };
  EXPECT_DEATH(leave(), "num_used_");
}

}  // namespace
}  // namespace hadal
