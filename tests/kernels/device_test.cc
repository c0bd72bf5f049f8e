#include "kernels/device.h"

#include <algorithm>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <limits>
#include <optional>
#include <string>
#include <sys/mman.h>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace hadal {
namespace {

constexpr size_t kHugeBytes = size_t{2} << 20U;
constexpr size_t kPageBytes = 4096;

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

// How many of the buffer's small pages are in memory; nothing when part of it is not mapped.
std::optional<int64_t> NumResidentPages(const void* data, size_t size_bytes) {
  std::vector<unsigned char> residency((size_bytes + kPageBytes - 1) / kPageBytes);
  if (mincore(const_cast<void*>(data), size_bytes, residency.data()) != 0) {
    return std::nullopt;
  }
  return std::count_if(
      residency.begin(), residency.end(), [](unsigned char page) { return (page & 1U) != 0; });
}

// Of the mapping that begins at `data` or below and holds it, as /proc/self/smaps has them.
std::string FlagsOfMapping(const void* data) {
  std::ifstream file("/proc/self/smaps");
  std::string line;
  bool is_here = false;
  while (std::getline(file, line)) {
    uintptr_t begin = 0;
    uintptr_t end = 0;
    if (std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR " ", &begin, &end) == 2) {
      const auto address = reinterpret_cast<uintptr_t>(data);
      is_here = begin <= address && address < end;
    } else if (is_here && line.starts_with("VmFlags:")) {
      return line + " ";
    }
  }
  return "";
}

TEST(DeviceBufferTest, WhatIsLargeIsZeroedAndAlignedToHugePages) {
  for (const size_t size_bytes : {kHugeBytes, kHugeBytes + 1, 3 * kHugeBytes - 1}) {
    const auto buffer = DeviceBuffer::Allocate(CpuDevice(), size_bytes);
    ASSERT_TRUE(buffer.ok());
    EXPECT_EQ(buffer->size_bytes(), size_bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer->data()) % kHugeBytes, 0U);
    auto* bytes = static_cast<uint8_t*>(buffer->data());
    EXPECT_TRUE(std::all_of(bytes, bytes + size_bytes, [](uint8_t byte) { return byte == 0; }));
    std::fill_n(bytes, size_bytes, uint8_t{1});
  }
}

TEST(DeviceBufferTest, WhatIsLargeTakesNoMemoryBeforeItIsTouchedNorWhenItIsFreed) {
  constexpr size_t kSizeBytes = 8 * kHugeBytes;
  const void* data = nullptr;
  {
    const auto buffer = DeviceBuffer::Allocate(CpuDevice(), kSizeBytes);
    ASSERT_TRUE(buffer.ok());
    data = buffer->data();
    EXPECT_EQ(NumResidentPages(data, kSizeBytes), 0);
    static_cast<uint8_t*>(buffer->data())[kSizeBytes - 1] = 1;
    EXPECT_GT(NumResidentPages(data, kSizeBytes), 0);
  }
  EXPECT_EQ(NumResidentPages(data, kSizeBytes), std::nullopt);
}

TEST(DeviceBufferTest, WhatIsLargeAsksForHugePages) {
  if (!std::filesystem::exists("/sys/kernel/mm/transparent_hugepage/enabled")) {
    GTEST_SKIP() << "the system has no transparent huge pages";
  }
  const auto buffer = DeviceBuffer::Allocate(CpuDevice(), kHugeBytes);
  ASSERT_TRUE(buffer.ok());
  EXPECT_NE(FlagsOfMapping(buffer->data()).find(" hg "), std::string::npos);
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
  constexpr size_t kMostBytes = std::numeric_limits<size_t>::max();
  for (const size_t size_bytes : {kMostBytes, kMostBytes - 2 * kHugeBytes, kMostBytes / 2}) {
    const auto huge = DeviceBuffer::Allocate(CpuDevice(), size_bytes);
    EXPECT_EQ(huge.status().code(), absl::StatusCode::kResourceExhausted) << size_bytes;
  }
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
