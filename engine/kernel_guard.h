#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/api/kernel_health.h"
#include "kernels/execution_context.h"
#include "kernels/kernel_table.h"

namespace hadal {

class HostMirror;

/// Finds the op at fault when a step's numbers are not finite, and replaces one that keeps failing.
///
///   1. A step runs on table(), unwatched: watching every op would cost time.
///   2. When it ends with a row that is not finite, it is run again on careful_table(), between
///      BeginStep and EndStep. There every row that an op was given finite activations for is
///      looked at. One that is not finite afterwards is computed again by the op's reference. Where
///      the reference gives finite numbers the op is to blame, and the step goes on with those of
///      the reference for that row alone: all other rows keep their bits. Where it does not,
///      weights or inputs are to blame, and the row stays as it is.
///   3. An op that was to blame in kMaxFaults steps is demoted: table() has its reference from then
///      on.
///
/// On another device than the host, what is looked at or computed again is copied to the host and
/// back (HostMirror).
///
/// Ops answer nothing, so what goes wrong in one shows in its numbers alone.
/// One thread runs steps, and health may be asked for by any.
class KernelGuard {
 public:
  /// Steps in which an op may be to blame before it is demoted.
  static constexpr int64_t kMaxFaults = 3;

  explicit KernelGuard(const KernelTable& selected);
  KernelGuard(const KernelGuard&) = delete;
  KernelGuard& operator=(const KernelGuard&) = delete;

  /// What entries of both tables must be called with.
  struct CarefulContext : ExecutionContext {
    KernelGuard& guard;
  };

  /// Both change in EndStep alone.
  [[nodiscard]] const KernelTable& table() const { return table_; }
  [[nodiscard]] const KernelTable& careful_table() const { return careful_table_; }

  /// Around a step on careful_table(). EndStep returns how many ops were to blame.
  void BeginStep();
  int64_t EndStep();

  /// One entry for each op, in the order of KernelTable::ForEachOp. Any thread.
  [[nodiscard]] std::vector<KernelHealth> health() const;

 private:
  static constexpr size_t kNumOps = 11;

  struct Op {
    const char* name = nullptr;
    const char* implementation = nullptr;  // that was selected
    bool is_to_blame = false;              // in the step that runs
    std::atomic<int64_t> num_faults = 0;
    std::atomic<bool> demoted = false;
  };

  // A call that has run, as the host sees it.
  template <typename Args>
  struct Watched {
    const Args& args;
    const TensorView<const float, 2>& saved;  // what was in ChangedInput
    const TensorView<const uint8_t, 1>& had_finite_input;
    HostMirror& mirror;  // that `args` are of
  };

  template <typename Args>
  static void CallCarefully(const Args& args, ExecutionContext& context);
  template <typename Args>
  static void CallReference(const Args& args, ExecutionContext& context);
  template <typename Args>
  void Watch(const Args& args, ExecutionContext& context);
  template <typename Args>
  bool Repair(const Watched<Args>& watched, ExecutionContext& context) const;

  KernelTable table_;
  const KernelTable reference_;
  KernelTable careful_table_;
  std::array<Op, kNumOps> ops_;
};

}  // namespace hadal
