#include "tests/support/cuda_emulation/emulator.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <numeric>
#include <optional>
#include <random>
#include <sys/mman.h>
#include <utility>
#include <vector>

#include <boost/context/fiber.hpp>
#include <boost/context/stack_context.hpp>

#include "base/check.h"
#include "tests/support/cuda_emulation/device_memory.h"
#include "tests/support/cuda_emulation/races.h"
#include "tests/support/cuda_emulation/stream.h"

constinit thread_local hadal::emulation::Index3 threadIdx;
constinit thread_local hadal::emulation::Index3 blockIdx;
constinit thread_local hadal::emulation::Index3 blockDim;
constinit thread_local hadal::emulation::Index3 gridDim;

namespace hadal::emulation {
namespace {

namespace context = boost::context;

constexpr int kWarp = 32;
constexpr size_t kStackBytes = size_t{128} << 10U;

// Fresh pages, of which ThreadSanitizer remembers nothing.
class Pages {
 public:
  explicit Pages(size_t size_bytes)
      : size_bytes_(size_bytes),
        data_(mmap(nullptr,
                   size_bytes,
                   PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1,
                   0)) {
    CHECK(data_ != MAP_FAILED);
  }
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;
  ~Pages() { munmap(data_, size_bytes_); }

  [[nodiscard]] std::byte* data() const { return static_cast<std::byte*>(data_); }

 private:
  const size_t size_bytes_;
  void* const data_;
};

// Stacks of a block's threads, for boost::context.
class Stacks {
 public:
  explicit Stacks(int num_threads) : pages_(static_cast<size_t>(num_threads) * kStackBytes) {}

  context::stack_context Take() {
    context::stack_context stack;
    stack.size = kStackBytes;
    stack.sp = pages_.data() + ++num_taken_ * kStackBytes;  // it grows downwards
    return stack;
  }

 private:
  const Pages pages_;
  size_t num_taken_ = 0;
};

// A stack of Stacks, as boost::context wants it.
struct StackAllocator {
  Stacks& stacks;

  context::stack_context allocate() const { return stacks.Take(); }
  void deallocate(context::stack_context& /*stack*/) const {}
};

// Where threads meet: `round` rises when all have come.
struct Meeting {
  uint32_t mask = 0;
  int num_arrived = 0;
  uint64_t round = 0;
  std::array<void*, kWarp> arguments = {};
  // Of rounds: who goes on to the next one must not be taken for having come before.
  std::array<OrderTag, 64> tags = {};

  OrderTag& tag(uint64_t of_round) { return tags[of_round % tags.size()]; }
};

struct Thread {
  context::fiber fiber;
  Actor actor;
  Index3 index;
  bool done = false;
  bool has_begun = false;             // the block
  bool has_waited = false;            // for earlier kernels
  const uint64_t* awaited = nullptr;  // waits while this equals `round`
  uint64_t round = 0;
  std::vector<PendingCopy> uncommitted;
  std::deque<std::vector<PendingCopy>> committed;
};

// One launch: its threads are coroutines that live from block to block.
class Grid {
 public:
  Grid(Index3 extent,
       Index3 block,
       size_t shared_bytes,
       void (*body)(const void* params),
       const void* params)
      : extent_(extent),
        block_(block),
        body_(body),
        params_(params),
        num_threads_(static_cast<int>(block.x * block.y * block.z)),
        shared_bytes_(shared_bytes),
        threads_(static_cast<size_t>(num_threads_)),
        warps_(static_cast<size_t>((num_threads_ + kWarp - 1) / kWarp)) {
    // Limits of compute capability 9.0, of the CUDA C++ Programming Guide.
    CHECK(num_threads_ > 0 && num_threads_ <= 1024);
    CHECK_LE(shared_bytes, size_t{227} << 10U);
    CHECK(extent.x <= 0x7FFFFFFF && extent.y <= 65535 && extent.z <= 65535);
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
    for (const Thread& thread : threads_) {
      thread.actor.Destroy();
    }
  }

  void SyncThreads() { Meet(block_meeting_, num_alive_, true); }

  // What all threads did comes before an acquire of it.
  [[nodiscard]] OrderTag& done_tag() { return done_tag_; }

  void JoinWarp(uint32_t mask, void* argument, void (*join)(void* const*)) {
    const auto lane = static_cast<size_t>(current_ % kWarp);
    CHECK((mask >> lane & 1U) == 1U);
    std::deque<Meeting>& meetings = warps_[static_cast<size_t>(current_ / kWarp)];
    auto found = std::find_if(
        meetings.begin(), meetings.end(), [mask](const Meeting& m) { return m.mask == mask; });
    if (found == meetings.end()) {
      host_.Act(false);
      meetings.push_back({.mask = mask});
      current_thread().actor.Act(false);
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
    // Shuffles and votes order no accesses to memory.
    Meet(meeting, needed, join == nullptr);
  }

  [[nodiscard]] int current() const { return current_; }
  [[nodiscard]] const Actor& host() const { return host_; }
  Thread& current_thread() { return threads_[static_cast<size_t>(current_)]; }

  [[nodiscard]] std::byte* shared() const { return shared_->data(); }

 private:
  void StartThreads() {
    for (int i = 0; i < num_threads_; ++i) {
      Thread& thread = threads_[static_cast<size_t>(i)];
      const auto n = static_cast<unsigned>(i);
      thread.index = {n % block_.x, n / block_.x % block_.y, n / block_.x / block_.y};
      thread.actor = Actor::Create();
      thread.fiber = context::fiber(
          std::allocator_arg, StackAllocator{stacks_}, [this](context::fiber&& scheduler) {
            scheduler_ = std::move(scheduler);
            while (true) {
              body_(params_);
              CHECK(current_thread().has_waited);
              Release(done_tag_);
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
    shared_.emplace(shared_bytes_ + 1);
    std::memset(shared_->data(), 0xFF, shared_bytes_);  // NaN in every format
    Release(block_tag_);
    for (Thread& thread : threads_) {
      thread.done = false;
      thread.has_waited = false;
      thread.awaited = nullptr;
      thread.has_begun = false;
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
    thread.actor.Act(false);
    if (!std::exchange(thread.has_begun, true)) {
      Acquire(block_tag_);
    }
    thread.fiber = std::move(thread.fiber).resume();
    return true;
  }

  void Yield() {
    host_.Act(false);
    scheduler_ = std::move(scheduler_).resume();
  }

  void Meet(Meeting& meeting, int needed, bool orders_memory) {
    const uint64_t round = meeting.round;
    if (orders_memory) {
      Release(meeting.tag(round));
    }
    if (++meeting.num_arrived == needed) {
      meeting.num_arrived = 0;
      ++meeting.round;
    } else {
      Thread& thread = current_thread();
      thread.awaited = &meeting.round;
      thread.round = round;
      Yield();
    }
    if (orders_memory) {
      Acquire(meeting.tag(round));
    }
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
  void (*const body_)(const void* params);
  const void* const params_;
  const int num_threads_;
  const size_t shared_bytes_;
  const Actor host_ = Actor::Current();
  std::optional<Pages> shared_;
  Stacks stacks_ = Stacks(num_threads_);
  context::fiber scheduler_;
  std::vector<Thread> threads_;
  std::vector<std::deque<Meeting>> warps_;
  Meeting block_meeting_;
  OrderTag block_tag_ = {};
  OrderTag done_tag_ = {};
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

}  // namespace

void RunGrid(Index3 grid,
             Index3 block,
             size_t shared_bytes,
             void (*body)(const void* params),
             const void* params) {
  PerformCopies();
  const OpenMemory open;
  CHECK(running == nullptr);
  Grid emulated(grid, block, shared_bytes, body, params);
  running = &emulated;
  emulated.Run();
  running = nullptr;
  const Actor host = Actor::Current();
  Stream& stream = CurrentStream();
  stream.actor.Act(true);
  Acquire(emulated.done_tag());
  Release(stream.done_tag);
  host.Act(false);
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
  Acquire(CurrentStream().done_tag);
}

std::byte* DynamicShared() {
  return Running().shared();
}

namespace {

// Memory that the emulator allocates for a thread is the host's.
class AsHost {
 public:
  AsHost() { Running().host().Act(false); }
  AsHost(const AsHost&) = delete;
  AsHost& operator=(const AsHost&) = delete;
  ~AsHost() { Running().current_thread().actor.Act(false); }
};

}  // namespace

void CopyAsync16(void* shared, const void* global, int num_bytes) {
  CHECK(num_bytes >= 0 && num_bytes <= 16);
  CheckAligned(shared, 16);
  if (num_bytes > 0) {
    CheckAligned(global, 16);
  }
  const AsHost as_host;
  Running().current_thread().uncommitted.push_back(
      {shared, global, static_cast<size_t>(num_bytes)});
}

void CommitCopies() {
  const AsHost as_host;
  Thread& thread = Running().current_thread();
  thread.committed.push_back(std::move(thread.uncommitted));
  thread.uncommitted.clear();
}

void WaitForCopies(int num_pending) {
  Thread& thread = Running().current_thread();
  while (std::ssize(thread.committed) > num_pending) {
    Perform(thread.committed.front());
    const AsHost as_host;
    thread.committed.pop_front();
  }
}

void CheckAligned(const void* address, size_t alignment) {
  CHECK_EQ(reinterpret_cast<uintptr_t>(address) % alignment, size_t{0});
}

}  // namespace hadal::emulation
