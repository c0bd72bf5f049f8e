#include "tests/support/cuda_emulation/stream.h"

#include <atomic>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "base/check.h"
#include "tests/support/cuda_emulation/device_memory.h"

namespace hadal::emulation {
namespace {

// Of this thread, where it captures.
std::optional<Launches>& Captured() {
  thread_local std::optional<Launches> captured;
  return captured;
}

std::atomic<int64_t> num_launches = 0;

}  // namespace

Stream& CurrentStream() {
  // It outlives what other objects of the thread discard.
  static thread_local Stream* const kStream = std::make_unique<Stream>().release();
  return *kStream;
}

void PerformCopies() {
  Stream& stream = CurrentStream();
  if (stream.begun.empty()) {
    return;
  }
  const OpenMemory open;
  const Actor host = Actor::Current();
  stream.actor.Act(true);
  for (const PendingCopy& copy : stream.begun) {
    std::memcpy(copy.to, copy.from, copy.num_bytes);
  }
  Release(stream.done_tag);
  host.Act(false);
  stream.begun.clear();
}

int64_t NumLaunches() {
  return num_launches;
}

void Launch(std::function<void()> run) {
  ++num_launches;
  if (Captured().has_value()) {
    Captured()->push_back(std::move(run));
  } else {
    run();
    CurrentStream().discarded.push_back(std::move(run));
  }
}

void Discard(Launches launches) {
  for (std::function<void()>& launch : launches) {
    CurrentStream().discarded.push_back(std::move(launch));
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

void BeginCopy(void* to, const void* from, size_t size_bytes) {
  CurrentStream().begun.push_back({to, from, size_bytes});
}

void FinishCopies() {
  PerformCopies();
  Acquire(CurrentStream().done_tag);
  CurrentStream().discarded.clear();
}

}  // namespace hadal::emulation
