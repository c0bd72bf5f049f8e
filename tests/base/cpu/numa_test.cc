#include "base/cpu/numa.h"

#include <array>
#include <linux/mempolicy.h>
#include <optional>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hadal {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr size_t kMappingBytes = 1 << 16;

// The policy of this thread, or of the memory at `address`. Nothing where it may not be asked for.
std::optional<int> PolicyOf(const void* address) {
  int mode = 0;
  if (syscall(
          SYS_get_mempolicy, &mode, nullptr, 0, address, address != nullptr ? MPOL_F_ADDR : 0) !=
      0) {
    return std::nullopt;
  }
  return mode;
}

// Containers often may not choose where memory lies.
bool MaySetPolicy() {
  return syscall(SYS_set_mempolicy, MPOL_DEFAULT, nullptr, 0) == 0;
}

// Those that the machine lacks are passed over by the kernel, so this spreads over node 0 there.
constexpr std::array<int32_t, 2> kTwoNodes = {0, 1};
constexpr std::array<int32_t, 1> kOneNode = {0};

TEST(ParseNodeListTest, NumbersAndRanges) {
  EXPECT_THAT(ParseNodeList("0\n"), ElementsAre(0));
  EXPECT_THAT(ParseNodeList("0-2,5,7-8\n"), ElementsAre(0, 1, 2, 5, 7, 8));
  EXPECT_EQ(ParseNodeList("0-1023").size(), 1024U);
}

TEST(ParseNodeListTest, EmptyWhenItIsNoList) {
  for (const std::string_view text : {"",
                                      "\n",
                                      ",",
                                      "0,",
                                      "-1",
                                      "1-",
                                      "-",
                                      "2-1",
                                      "0-0-0",
                                      "0,0",
                                      "3,2",
                                      "a",
                                      "0 1",
                                      "0-1024",
                                      "0-99999999999999999999"}) {
    EXPECT_THAT(ParseNodeList(text), IsEmpty()) << text;
  }
}

TEST(InterleaveScopeTest, ThePolicyHoldsWhileItLives) {
  if (!MaySetPolicy()) {
    GTEST_SKIP() << "the system refuses policies of memory";
  }
  {
    const InterleaveScope scope(kTwoNodes);
    EXPECT_EQ(PolicyOf(nullptr), MPOL_INTERLEAVE);
    {
      const InterleaveScope inner(kTwoNodes);
      EXPECT_EQ(PolicyOf(nullptr), MPOL_INTERLEAVE);
    }
    EXPECT_EQ(PolicyOf(nullptr), MPOL_INTERLEAVE);
  }
  EXPECT_EQ(PolicyOf(nullptr), MPOL_DEFAULT);
}

TEST(InterleaveScopeTest, NothingToSpreadOverOneNode) {
  const std::optional<int> before = PolicyOf(nullptr);
  const InterleaveScope one(kOneNode);
  const InterleaveScope none({});
  EXPECT_EQ(PolicyOf(nullptr), before);
}

TEST(InterleaveMemoryTest, TheMemoryHasThePolicy) {
  if (!MaySetPolicy()) {
    GTEST_SKIP() << "the system refuses policies of memory";
  }
  void* data =
      mmap(nullptr, kMappingBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(data, MAP_FAILED);
  InterleaveMemory(data, kMappingBytes, kOneNode);
  EXPECT_EQ(PolicyOf(data), MPOL_DEFAULT);
  InterleaveMemory(data, kMappingBytes, kTwoNodes);
  EXPECT_EQ(PolicyOf(data), MPOL_INTERLEAVE);
  EXPECT_EQ(PolicyOf(nullptr), MPOL_DEFAULT);
  munmap(data, kMappingBytes);
}

TEST(ReadMemoryNodesTest, RisesFromNotBelowZero) {
  int32_t last = -1;
  for (const int32_t node : ReadMemoryNodes()) {
    EXPECT_GT(node, last);
    last = node;
  }
}

}  // namespace
}  // namespace hadal
