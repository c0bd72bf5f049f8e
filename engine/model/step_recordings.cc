#include "engine/model/step_recordings.h"

#include <algorithm>
#include <utility>

namespace hadal {

StepRecordings::StepRecordings() {
  entries_.reserve(kMaxRecordings);
  seen_.reserve(kMaxKeysSeen);
}

void StepRecordings::Run(const StepKey& key,
                         const ScratchArena& scratch,
                         absl::FunctionRef<void()> launch_ops) {
  if (!key.kernels->is_recordable) {
    launch_ops();
    return;
  }
  if (generation_ != scratch.generation()) {
    generation_ = scratch.generation();
    entries_.clear();
    seen_.clear();
  }
  if (Replay(key)) {
    ++num_replayed_;
    return;
  }
  if (!TakeFromSeen(key)) {
    launch_ops();
    if (seen_.size() == kMaxKeysSeen) {
      seen_.erase(seen_.begin());
    }
    seen_.push_back(key);
    return;
  }
  if (entries_.size() == kMaxRecordings) {
    entries_.erase(entries_.begin());
  }
  entries_.push_back({key, DeviceRecording::Record(*key.kernels->device, launch_ops)});
  entries_.back().recording.Replay();
  ++num_recorded_;
}

bool StepRecordings::Replay(const StepKey& key) {
  const auto found = std::find_if(
      entries_.begin(), entries_.end(), [&key](const Entry& entry) { return entry.key == key; });
  if (found == entries_.end()) {
    return false;
  }
  std::rotate(found, found + 1, entries_.end());
  entries_.back().recording.Replay();
  return true;
}

bool StepRecordings::TakeFromSeen(const StepKey& key) {
  const auto found = std::find(seen_.begin(), seen_.end(), key);
  if (found == seen_.end()) {
    return false;
  }
  seen_.erase(found);
  return true;
}

}  // namespace hadal
