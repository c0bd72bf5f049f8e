#include "server/grpc/stream_worker.h"

#include <chrono>
#include <pthread.h>
#include <utility>

#include <absl/time/clock.h>

#include "base/check.h"
#include "base/clock.h"

namespace hadal {
namespace {

constexpr Duration kTickInterval = std::chrono::seconds(1);

}  // namespace

void StreamEvents::Push(Entry entry) {
  const absl::MutexLock lock(&mutex_);
  entries_.push_back(std::move(entry));
}

void StreamEvents::PushTick() {
  const absl::MutexLock lock(&mutex_);
  signals_.tick = true;
}

void StreamEvents::PushEnd() {
  const absl::MutexLock lock(&mutex_);
  signals_.end = true;
}

StreamEvents::Signals StreamEvents::Take(absl::Duration timeout, std::vector<Entry>& entries) {
  entries.clear();
  const absl::MutexLock lock(&mutex_);
  mutex_.AwaitWithTimeout(absl::Condition(this, &StreamEvents::HasSomething), timeout);
  entries.swap(entries_);
  return std::exchange(signals_, Signals{});
}

StreamWorker::StreamWorker() : thread_([this] { Run(); }) {}

StreamWorker::~StreamWorker() {
  events_->PushEnd();
  thread_.join();
  CHECK(streams_.empty());
}

void StreamWorker::Open(StreamId id, std::unique_ptr<WorkerStream> stream) {
  events_->Push({.id = id, .event = StreamEvent::kOpened, .stream = std::move(stream)});
}

void StreamWorker::Run() {
  pthread_setname_np(pthread_self(), "grpc-0");
  const SteadyClock clock;
  TimePoint next_tick = clock.Now() + kTickInterval;
  std::vector<StreamEvents::Entry> entries;
  while (true) {
    const absl::Duration timeout =
        streams_.empty() ? absl::InfiniteDuration() : absl::FromChrono(next_tick - clock.Now());
    const StreamEvents::Signals signals = events_->Take(timeout, entries);
    for (StreamEvents::Entry& entry : entries) {
      HandleEntry(entry);
    }
    if (signals.tick || clock.Now() >= next_tick) {
      for (const auto& [id, stream] : streams_) {
        stream->Handle(StreamEvent::kTick);
      }
      next_tick = clock.Now() + kTickInterval;
    }
    if (signals.end) {
      return;
    }
  }
}

void StreamWorker::HandleEntry(StreamEvents::Entry& entry) {
  if (entry.event == StreamEvent::kOpened) {
    streams_.emplace(entry.id, std::move(entry.stream));
  }
  const auto found = streams_.find(entry.id);
  if (found == streams_.end()) {
    return;
  }
  found->second->Handle(entry.event);
  if (entry.event == StreamEvent::kClosed) {
    streams_.erase(found);
  }
}

}  // namespace hadal
