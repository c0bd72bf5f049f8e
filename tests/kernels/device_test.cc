#include "kernels/device.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>

#include <gtest/gtest.h>

namespace hadal {
namespace {

int num_frees = 0;

const Device& CountingDevice() {
  static constexpr Device kDevice = {
      "counting",
      [](size_t size_bytes) { return CpuDevice().allocate(size_bytes); },
      [](void* data) {
        ++num_frees;
        CpuDevice().free(data);
      }};
  return kDevice;
}

TEST(DeviceBufferTest, IsZeroedAndAligned) {
  for (const size_t size_bytes : {1, 63, 64, 65, 4097}) {
    const auto buffer = DeviceBuffer::Allocate(CpuDevice(), size_bytes);
    ASSERT_TRUE(buffer.ok());
    EXPECT_EQ(buffer->size_bytes(), size_bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer->data()) % 64, 0U);
    const auto* bytes = static_cast<const uint8_t*>(buffer->data());
    EXPECT_TRUE(std::all_of(bytes, bytes + size_bytes, [](uint8_t byte) { return byte == 0; }));
  }
}

TEST(DeviceBufferTest, NothingIsAllocatedForNoBytes) {
  const auto buffer = DeviceBuffer::Allocate(CpuDevice(), 0);
  ASSERT_TRUE(buffer.ok());
  EXPECT_EQ(buffer->data(), nullptr);
  EXPECT_EQ(buffer->size_bytes(), 0U);
}

TEST(DeviceBufferTest, NoRoomIsResourceExhausted) {
  constexpr Device kFullDevice = {
      "full", [](size_t /*size_bytes*/) -> void* { return nullptr; }, [](void* /*data*/) {}};
  const auto full = DeviceBuffer::Allocate(kFullDevice, 3);
  EXPECT_EQ(full.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(MessageOf(full.status()), "no room for 3 bytes on device full");
  const auto huge = DeviceBuffer::Allocate(CpuDevice(), std::numeric_limits<size_t>::max());
  EXPECT_EQ(huge.status().code(), absl::StatusCode::kResourceExhausted);
}

TEST(DeviceBufferTest, MovesWithoutCopyAndFreesOnce) {
  num_frees = 0;
  {
    DeviceBuffer first = *DeviceBuffer::Allocate(CountingDevice(), 10);
    void* data = first.data();
    DeviceBuffer second = std::move(first);
    EXPECT_EQ(second.data(), data);
    EXPECT_EQ(first.data(), nullptr);  // NOLINT(bugprone-use-after-move): empty is promised
    second = *DeviceBuffer::Allocate(CountingDevice(), 20);
    EXPECT_EQ(num_frees, 1);
    EXPECT_EQ(second.size_bytes(), 20U);
  }
  EXPECT_EQ(num_frees, 2);
}

}  // namespace
}  // namespace hadal
