#include "kernels/scratch_arena.h"

#include <cstdint>
#include <cstring>

#include <gtest/gtest.h>

namespace hadal {
namespace {

int num_allocations = 0;

const Device& CountingDevice() {
  static constexpr Device kDevice = {"counting",
                                     [](size_t size_bytes) {
                                       ++num_allocations;
                                       return CpuDevice().allocate(size_bytes);
                                     },
                                     [](void* data) { CpuDevice().free(data); }};
  return kDevice;
}

TEST(ScratchArenaTest, AllocationsAreAlignedDenseAndApart) {
  ScratchArena arena(CpuDevice());
  const ScratchScope scope(arena);
  const auto a = arena.Allocate<float>(3, 5);
  const auto b = arena.Allocate<int32_t>(1);
  const auto c = arena.Allocate<double>(0, 4);
  const auto d = arena.Allocate<float>(7);
  EXPECT_EQ(a.strides, (std::array<int64_t, 2>{5, 1}));
  EXPECT_EQ(c.num_elements(), 0);
  for (const void* data : {static_cast<const void*>(a.data),
                           static_cast<const void*>(b.data),
                           static_cast<const void*>(d.data)}) {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(data) % 64, 0U);
  }
  EXPECT_GE(reinterpret_cast<const std::byte*>(b.data) - reinterpret_cast<const std::byte*>(a.data),
            15 * 4);
  EXPECT_NE(static_cast<const void*>(b.data), static_cast<const void*>(d.data));
}

TEST(ScratchArenaTest, AnInnerScopeFreesOnlyItsOwn) {
  ScratchArena arena(CpuDevice());
  const ScratchScope outer(arena);
  const auto kept = arena.Allocate<float>(100);
  kept(99) = 7;
  const float* inner_data = nullptr;
  {
    const ScratchScope inner(arena);
    inner_data = arena.Allocate<float>(10).data;
    arena.Allocate<float>(1 << 20);  // into another chunk
  }
  EXPECT_EQ(arena.Allocate<float>(10).data, inner_data);
  EXPECT_EQ(kept(99), 7);
}

// Memory stays valid when later allocations make the arena grow.
TEST(ScratchArenaTest, GrowthKeepsWhatIsThere) {
  ScratchArena arena(CpuDevice());
  const ScratchScope scope(arena);
  std::vector<TensorView<uint8_t, 1>> pieces;
  for (int i = 0; i < 40; ++i) {
    pieces.push_back(arena.Allocate<uint8_t>(300'000));
    std::memset(pieces.back().data, i, 300'000);
  }
  for (int i = 0; i < 40; ++i) {
    EXPECT_EQ(pieces[static_cast<size_t>(i)](0), i);
    EXPECT_EQ(pieces[static_cast<size_t>(i)](299'999), i);
  }
  EXPECT_GE(arena.capacity_bytes(), size_t{40} * 300'000);
}

TEST(ScratchArenaTest, NothingIsAllocatedAfterWarmUp) {
  ScratchArena arena(CountingDevice());
  EXPECT_EQ(arena.capacity_bytes(), 0U);
  const auto step = [&arena] {
    const ScratchScope outer(arena);
    arena.Allocate<float>(1000, 700);
    for (int i = 0; i < 3; ++i) {
      const ScratchScope inner(arena);
      arena.Allocate<float>(900'000);
      arena.Allocate<int8_t>(1);
      arena.Allocate<float>(400'000);
    }
    arena.Allocate<float>(600'000);
  };
  step();
  const size_t capacity = arena.capacity_bytes();
  const int64_t generation = arena.generation();
  EXPECT_GT(generation, 0);
  num_allocations = 0;
  for (int i = 0; i < 10; ++i) {
    step();
    EXPECT_EQ(arena.capacity_bytes(), capacity);
    EXPECT_EQ(arena.generation(), generation);
  }
  EXPECT_EQ(num_allocations, 0);
}

TEST(ScratchArenaDeathTest, NoRoomAndNegativeExtentsAreFatal) {
  static constexpr Device kFullDevice = {
      "full", [](size_t /*size_bytes*/) -> void* { return nullptr; }, [](void* /*data*/) {}};
  ScratchArena full(kFullDevice);
  EXPECT_DEATH(full.Allocate<float>(1), "chunk.ok\\(\\)");
  ScratchArena arena(CpuDevice());
  EXPECT_DEATH(arena.Allocate<float>(-1), "count >= int64_t");
}

TEST(ScratchArenaTest, WhatIsReservedIsAskedForOnce) {
  num_allocations = 0;
  ScratchArena arena(CountingDevice());
  constexpr size_t kBytes = size_t{5} << 20U;
  ASSERT_TRUE(arena.Reserve(kBytes).ok());
  const int64_t generation = arena.generation();
  for (int repeat = 0; repeat < 2; ++repeat) {
    const ScratchScope scope(arena);
    arena.Allocate<std::byte>(kBytes - 64);
    arena.Allocate<std::byte>(64);
  }
  EXPECT_EQ(num_allocations, 1);
  EXPECT_EQ(arena.capacity_bytes(), kBytes);
  EXPECT_EQ(arena.generation(), generation);
}

TEST(ScratchArenaTest, NoRoomForAReserveIsResourceExhausted) {
  constexpr Device kFull = {
      "full", [](size_t /*size_bytes*/) -> void* { return nullptr; }, [](void* /*data*/) {}};
  ScratchArena arena(kFull);
  EXPECT_EQ(arena.Reserve(1).code(), absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace hadal
