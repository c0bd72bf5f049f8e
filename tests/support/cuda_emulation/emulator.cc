#include "tests/support/cuda_emulation/emulator.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <optional>
#include <random>
#include <sys/mman.h>
#include <utility>
#include <vector>

#include <boost/context/fiber.hpp>
#include <boost/context/pooled_fixedsize_stack.hpp>

#include "base/check.h"

constinit thread_local hadal::emulation::Index3 threadIdx;
constinit thread_local hadal::emulation::Index3 blockIdx;
constinit thread_local hadal::emulation::Index3 blockDim;
constinit thread_local hadal::emulation::Index3 gridDim;

namespace hadal::emulation {
namespace {

namespace context = boost::context;

constexpr int kWarp = 32;
constexpr size_t kStackBytes = size_t{128} << 10U;
constexpr size_t kPage = 4096;

struct PendingCopy {
  void* to;
  const void* from;
  size_t num_bytes;
};

// Where threads meet: `round` rises when all have come.
struct Meeting {
  uint32_t mask = 0;
  int num_arrived = 0;
  uint64_t round = 0;
  std::array<void*, kWarp> arguments = {};
};

struct Thread {
  context::fiber fiber;
  Index3 index;
  bool done = false;
  bool has_waited = false;            // for earlier kernels
  const uint64_t* awaited = nullptr;  // waits while this equals `round`
  uint64_t round = 0;
  std::vector<PendingCopy> uncommitted;
  std::deque<std::vector<PendingCopy>> committed;
};

// One launch: its threads are coroutines that live from block to block.
class Grid {
 public:
  Grid(Index3 extent, Index3 block, size_t shared_bytes, const std::function<void()>& body)
      : extent_(extent),
        block_(block),
        body_(body),
        num_threads_(static_cast<int>(block.x * block.y * block.z)),
        shared_(shared_bytes + kSharedAlignment),
        threads_(static_cast<size_t>(num_threads_)),
        warps_(static_cast<size_t>((num_threads_ + kWarp - 1) / kWarp)) {
    CHECK(num_threads_ > 0 && num_threads_ <= 1024);
    CHECK_LE(shared_bytes, size_t{227} << 10U);
  }

  void Run() {
    const uint64_t num_blocks = uint64_t{extent_.x} * extent_.y * extent_.z;
    std::vector<uint64_t> order(num_blocks);
    std::iota(order.begin(), order.end(), uint64_t{0});
    std::shuffle(order.begin(), order.end(), std::mt19937(17));
    StartThreads();
    for (const uint64_t block : order) {
      RunBlock(block);
    }
  }

  void SyncThreads() { Meet(block_meeting_, num_alive_); }

  void JoinWarp(uint32_t mask, void* argument, void (*join)(void* const*)) {
    const auto lane = static_cast<size_t>(current_ % kWarp);
    CHECK((mask >> lane & 1U) == 1U);
    std::deque<Meeting>& meetings = warps_[static_cast<size_t>(current_ / kWarp)];
    auto found = std::find_if(
        meetings.begin(), meetings.end(), [mask](const Meeting& m) { return m.mask == mask; });
    if (found == meetings.end()) {
      meetings.push_back({.mask = mask});
      found = std::prev(meetings.end());
    }
    Meeting& meeting = *found;
    meeting.arguments[lane] = argument;
    // Lanes that the block does not have can't come.
    const int first = current_ / kWarp * kWarp;
    const uint32_t present = num_threads_ - first >= kWarp
                                 ? ~0U
                                 : (1U << static_cast<unsigned>(num_threads_ - first)) - 1;
    const int needed = std::popcount(mask & present);
    if (meeting.num_arrived + 1 == needed) {
      if (join != nullptr) {
        join(meeting.arguments.data());
      }
      meeting.arguments.fill(nullptr);
    }
    Meet(meeting, needed);
  }

  [[nodiscard]] int current() const { return current_; }
  Thread& current_thread() { return threads_[static_cast<size_t>(current_)]; }

  std::byte* shared() {
    const auto address = reinterpret_cast<uintptr_t>(shared_.data());
    return shared_.data() + (kSharedAlignment - address % kSharedAlignment) % kSharedAlignment;
  }

 private:
  static constexpr size_t kSharedAlignment = 1024;

  void StartThreads() {
    for (int i = 0; i < num_threads_; ++i) {
      Thread& thread = threads_[static_cast<size_t>(i)];
      const auto n = static_cast<unsigned>(i);
      thread.index = {n % block_.x, n / block_.x % block_.y, n / block_.x / block_.y};
      thread.fiber =
          context::fiber(std::allocator_arg, stacks_, [this](context::fiber&& scheduler) {
            scheduler_ = std::move(scheduler);
            while (true) {
              body_();
              CHECK(current_thread().has_waited);
              current_thread().done = true;
              --num_alive_;
              Yield();
            }
            return std::move(scheduler_);
          });
    }
  }

  void RunBlock(uint64_t block) {
    blockIdx = {static_cast<unsigned>(block % extent_.x),
                static_cast<unsigned>(block / extent_.x % extent_.y),
                static_cast<unsigned>(block / extent_.x / extent_.y)};
    blockDim = block_;
    gridDim = extent_;
    std::memset(shared_.data(), 0xFF, shared_.size());  // NaN in every format
    for (Thread& thread : threads_) {
      thread.done = false;
      thread.has_waited = false;
      thread.awaited = nullptr;
      CHECK(thread.uncommitted.empty());
      thread.committed.clear();
    }
    num_alive_ = num_threads_;
    while (num_alive_ > 0) {
      bool progress = false;
      for (int i = 0; i < num_threads_; ++i) {
        progress = Step(i) || progress;
      }
      if (!progress && num_alive_ > 0) {
        ReleaseAfterExit();
      }
    }
  }

  // Runs a thread until it waits; false when it is waiting already.
  bool Step(int i) {
    Thread& thread = threads_[static_cast<size_t>(i)];
    if (thread.done || (thread.awaited != nullptr && *thread.awaited == thread.round)) {
      return false;
    }
    thread.awaited = nullptr;
    current_ = i;
    threadIdx = thread.index;
    thread.fiber = std::move(thread.fiber).resume();
    return true;
  }

  void Yield() { scheduler_ = std::move(scheduler_).resume(); }

  void Meet(Meeting& meeting, int needed) {
    if (++meeting.num_arrived == needed) {
      meeting.num_arrived = 0;
      ++meeting.round;
      return;
    }
    Thread& thread = current_thread();
    thread.awaited = &meeting.round;
    thread.round = meeting.round;
    Yield();
  }

  // Those who wait at the block's barrier need not wait for threads that have ended.
  void ReleaseAfterExit() {
    if (block_meeting_.num_arrived == 0 || block_meeting_.num_arrived != num_alive_) {
      CheckFailed(__FILE__, __LINE__, "the kernel is in a deadlock");
    }
    block_meeting_.num_arrived = 0;
    ++block_meeting_.round;
  }

  const Index3 extent_;
  const Index3 block_;
  const std::function<void()>& body_;
  const int num_threads_;
  std::vector<std::byte> shared_;
  context::pooled_fixedsize_stack stacks_{kStackBytes};
  context::fiber scheduler_;
  std::vector<Thread> threads_;
  std::vector<std::deque<Meeting>> warps_;
  Meeting block_meeting_;
  int num_alive_ = 0;
  int current_ = 0;
};

thread_local Grid* running = nullptr;

Grid& Running() {
  CHECK(running != nullptr);
  return *running;
}

void Perform(const std::vector<PendingCopy>& copies) {
  for (const PendingCopy& copy : copies) {
    std::memset(copy.to, 0, 16);
    std::memcpy(copy.to, copy.from, copy.num_bytes);
  }
}

// Every allocation has pages of its own, which only kernels and copies may touch.
class DeviceMemory {
 public:
  void* Allocate(size_t size_bytes) {
    const std::lock_guard lock(mutex_);
    const size_t mapped = (size_bytes + kPage - 1) / kPage * kPage;
    void* begin = mmap(
        nullptr, mapped + kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (begin == MAP_FAILED) {
      return nullptr;
    }
    constexpr size_t kAlignment = 16;
    const size_t rounded = (size_bytes + kAlignment - 1) / kAlignment * kAlignment;
    auto* data = static_cast<std::byte*>(begin) + (mapped - rounded);
    allocations_[data] = {begin, mapped};
    if (num_users_ > 0) {
      Protect(allocations_[data], PROT_READ | PROT_WRITE);
    }
    return data;
  }

  void Free(void* data) {
    if (data == nullptr) {
      return;
    }
    const std::lock_guard lock(mutex_);
    const auto found = allocations_.find(data);
    CHECK(found != allocations_.end());
    munmap(found->second.begin, found->second.mapped + kPage);
    allocations_.erase(found);
  }

  void Open() {
    const std::lock_guard lock(mutex_);
    if (num_users_++ == 0) {
      ProtectAll(PROT_READ | PROT_WRITE);
    }
  }

  void Close() {
    const std::lock_guard lock(mutex_);
    if (--num_users_ == 0) {
      ProtectAll(PROT_NONE);
    }
  }

 private:
  struct Allocation {
    void* begin = nullptr;
    size_t mapped = 0;
  };

  static void Protect(const Allocation& allocation, int protection) {
    if (allocation.mapped > 0) {
      CHECK_EQ(mprotect(allocation.begin, allocation.mapped, protection), 0);
    }
  }

  void ProtectAll(int protection) {
    for (const auto& [data, allocation] : allocations_) {
      Protect(allocation, protection);
    }
  }

  std::mutex mutex_;
  int num_users_ = 0;
  std::map<void*, Allocation> allocations_;
};

DeviceMemory& Memory() {
  // It outlives every buffer.
  static DeviceMemory* const kMemory = std::make_unique<DeviceMemory>().release();
  return *kMemory;
}

struct OpenMemory {
  OpenMemory() { Memory().Open(); }
  OpenMemory(const OpenMemory&) = delete;
  OpenMemory& operator=(const OpenMemory&) = delete;
  ~OpenMemory() { Memory().Close(); }
};

// Copies of this thread that have begun.
std::vector<PendingCopy>& Begun() {
  thread_local std::vector<PendingCopy> begun;
  return begun;
}

// Of this thread, where it captures.
std::optional<Launches>& Captured() {
  thread_local std::optional<Launches> captured;
  return captured;
}

std::atomic<int64_t> num_launches = 0;

}  // namespace

int64_t NumLaunches() {
  return num_launches;
}

void Launch(std::function<void()> run) {
  ++num_launches;
  if (Captured().has_value()) {
    Captured()->push_back(std::move(run));
  } else {
    run();
  }
}

void BeginCapture() {
  CheckNotCapturing();
  Captured().emplace();
}

Launches EndCapture() {
  CHECK(Captured().has_value());
  Launches launches = *std::move(Captured());
  Captured().reset();
  return launches;
}

void CheckNotCapturing() {
  CHECK(!Captured().has_value());
}

void RunGrid(Index3 grid, Index3 block, size_t shared_bytes, const std::function<void()>& body) {
  FinishCopies();
  const OpenMemory open;
  CHECK(running == nullptr);
  Grid emulated(grid, block, shared_bytes, body);
  running = &emulated;
  emulated.Run();
  running = nullptr;
}

void SyncThreads() {
  Running().SyncThreads();
}

void JoinWarp(uint32_t mask, void* argument, void (*join)(void* const* arguments)) {
  Running().JoinWarp(mask, argument, join);
}

int Lane() {
  return Running().current() % kWarp;
}

void WaitForEarlierKernels() {
  Running().current_thread().has_waited = true;
}

std::byte* DynamicShared() {
  return Running().shared();
}

void CopyAsync16(void* shared, const void* global, int num_bytes) {
  CHECK(num_bytes >= 0 && num_bytes <= 16);
  CheckAligned(shared, 16);
  if (num_bytes > 0) {
    CheckAligned(global, 16);
  }
  Running().current_thread().uncommitted.push_back(
      {shared, global, static_cast<size_t>(num_bytes)});
}

void CommitCopies() {
  Thread& thread = Running().current_thread();
  thread.committed.push_back(std::move(thread.uncommitted));
  thread.uncommitted.clear();
}

void WaitForCopies(int num_pending) {
  Thread& thread = Running().current_thread();
  while (std::ssize(thread.committed) > num_pending) {
    Perform(thread.committed.front());
    thread.committed.pop_front();
  }
}

void CheckAligned(const void* address, size_t alignment) {
  CHECK_EQ(reinterpret_cast<uintptr_t>(address) % alignment, size_t{0});
}

void* AllocateDevice(size_t size_bytes) {
  return Memory().Allocate(size_bytes);
}

void FreeDevice(void* data) {
  Memory().Free(data);
}

void BeginCopy(void* to, const void* from, size_t size_bytes) {
  Begun().push_back({to, from, size_bytes});
}

void FinishCopies() {
  if (Begun().empty()) {
    return;
  }
  const OpenMemory open;
  for (const PendingCopy& copy : Begun()) {
    std::memcpy(copy.to, copy.from, copy.num_bytes);
  }
  Begun().clear();
}

}  // namespace hadal::emulation
