#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <absl/functional/function_ref.h>

#include "kernels/device.h"
#include "kernels/kernel_table.h"
#include "kernels/scratch_arena.h"

namespace hadal {

/// All that a step's launches follow from, beside the model: shapes, and where its tensors lie.
struct StepKey {
  const KernelTable* kernels;
  int64_t mtp_layer;         // -1: the main model
  int64_t num_tokens;        // of the batch
  int64_t num_sequences;     // likewise
  int64_t max_blocks;        // of block tables on the device
  const void* cache;         // of the first layer
  int64_t num_cache_blocks;  // in each layer
  DType cache_dtype;
  int64_t num_rows;      // whose logits are computed
  int64_t num_choices;   // among those
  const void* inputs;    // of the step, one behind the other
  const void* previous;  // hidden states that enter an MTP module
  const void* hidden;    // hidden states that leave
  const void* logits;    // of the tail
  const void* results;   // one behind the other
  const void* scratch;   // where the ops' own temporaries begin

  bool operator==(const StepKey&) const = default;
};

/// Recordings of whole steps (kernels/device.h), one for each key that recurs: a decode step is
/// hundreds of launches, a replay is one (docs/adr/0027). A step runs plainly when its key is new,
/// which takes from the arena what it needs; is recorded when the key is seen for the second time;
/// is replayed from then on. The recordings that were used last stay. All are dropped when the
/// arena's memory has moved, since they name it: so none is recorded but by an arena that its ops
/// have run on.
///
/// For steps of one model on one arena. One thread.
class StepRecordings {
 public:
  static constexpr size_t kMaxRecordings = 64;
  static constexpr size_t kMaxKeysSeen = 64;  // without a recording

  StepRecordings();

  /// Does what `launch_ops` launches, in one way or the other. REQUIRES: it makes the same launches
  /// whenever the key is the same, and copies nothing.
  void Run(const StepKey& key, const ScratchArena& scratch, absl::FunctionRef<void()> launch_ops);

  /// So far.
  [[nodiscard]] int64_t num_recorded() const { return num_recorded_; }
  [[nodiscard]] int64_t num_replayed() const { return num_replayed_; }

 private:
  struct Entry {
    StepKey key;
    DeviceRecording recording;
  };

  bool Replay(const StepKey& key);
  bool TakeFromSeen(const StepKey& key);

  // The one that was used last comes last.
  std::vector<Entry> entries_;
  std::vector<StepKey> seen_;
  int64_t generation_ = 0;  // of the arena
  int64_t num_recorded_ = 0;
  int64_t num_replayed_ = 0;
};

}  // namespace hadal
