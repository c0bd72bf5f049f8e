#include "engine/kernel_guard.h"

#include <algorithm>
#include <type_traits>

#include <absl/strings/str_format.h>

#include "base/check.h"
#include "base/log.h"
#include "engine/host_mirror.h"
#include "engine/op_rows.h"
#include "kernels/reference/table.h"

namespace hadal {
namespace {

// So many rows of a call may come out no better by the reference before the rest are left as they
// are: bad weights spoil every row, and references are slow.
constexpr int64_t kMaxGuiltlessRows = 4;

// Each op has a type of arguments of its own.
template <typename Args>
Kernel<Args>& EntryOf(KernelTable& table) {
  Kernel<Args>* found = nullptr;
  KernelTable::ForEachOp(
      [&found](const char* /*name*/, auto& entry) {
        if constexpr (std::is_same_v<decltype(entry), Kernel<Args>&>) {
          found = &entry;
        }
      },
      table);
  CHECK(found != nullptr);
  return *found;
}

template <typename Args>
const Kernel<Args>& EntryOf(const KernelTable& table) {
  const Kernel<Args>* found = nullptr;
  KernelTable::ForEachOp(
      [&found](const char* /*name*/, const auto& entry) {
        if constexpr (std::is_same_v<decltype(entry), const Kernel<Args>&>) {
          found = &entry;
        }
      },
      table);
  CHECK(found != nullptr);
  return *found;
}

template <typename Args>
size_t IndexOf(const KernelTable& table) {
  size_t index = 0;
  size_t found = 0;
  KernelTable::ForEachOp(
      [&](const char* /*name*/, const auto& entry) {
        if constexpr (std::is_same_v<decltype(entry), const Kernel<Args>&>) {
          found = index;
        }
        ++index;
      },
      table);
  return found;
}

void CopyRow(std::span<const float> from, std::span<float> to) {
  std::copy(from.begin(), from.end(), to.begin());
}

}  // namespace

KernelGuard::KernelGuard(const KernelTable& selected)
    : table_(selected), reference_(reference::MakeTable()), careful_table_(selected) {
  careful_table_.is_recordable = false;
  size_t num_ops = 0;
  KernelTable::ForEachOp(
      [&]<typename Args>(const char* name, Kernel<Args>& entry) {
        CHECK_LT(num_ops, kNumOps);
        ops_[num_ops].name = name;
        ops_[num_ops].implementation = entry.implementation;
        entry.function = &CallCarefully<Args>;
        ++num_ops;
      },
      careful_table_);
  CHECK_EQ(num_ops, kNumOps);
}

void KernelGuard::BeginStep() {
  for (Op& op : ops_) {
    op.is_to_blame = false;
  }
}

int64_t KernelGuard::EndStep() {
  int64_t num_to_blame = 0;
  size_t index = 0;
  KernelTable::ForEachOp(
      [&]<typename Args>(const char* name, Kernel<Args>& entry) {
        Op& op = ops_[index++];
        if (!op.is_to_blame) {
          return;
        }
        ++num_to_blame;
        const int64_t num_faults = op.num_faults.load() + 1;
        op.num_faults = num_faults;
        Log(LogLevel::kError,
            absl::StrFormat("%s of %s gave numbers that are not finite where its reference gives "
                            "finite ones: fault %d of %d",
                            name,
                            op.implementation,
                            num_faults,
                            kMaxFaults));
        if (num_faults >= kMaxFaults) {
          entry = {.implementation = "reference", .function = &CallReference<Args>};
          op.demoted = true;
          table_.is_recordable = false;
          Log(LogLevel::kError,
              absl::StrFormat("%s of %s is demoted: the reference runs in its place, which is slow",
                              name,
                              op.implementation));
        }
      },
      table_);
  return num_to_blame;
}

std::vector<KernelHealth> KernelGuard::health() const {
  std::vector<KernelHealth> health;
  for (const Op& op : ops_) {
    const bool demoted = op.demoted;
    health.push_back({.op = op.name,
                      .implementation = demoted ? "reference" : op.implementation,
                      .num_faults = op.num_faults,
                      .demoted = demoted});
  }
  return health;
}

template <typename Args>
void KernelGuard::CallCarefully(const Args& args, ExecutionContext& context) {
  static_cast<CarefulContext&>(context).guard.Watch(args, context);
}

template <typename Args>
void KernelGuard::CallReference(const Args& args, ExecutionContext& context) {
  const KernelGuard& guard = static_cast<CarefulContext&>(context).guard;
  HostMirror mirror(*guard.table_.device);
  const Args here = mirror.MirrorOperands(mirror.MirrorActivations(args));
  ExecutionContext host = {.pool = context.pool, .scratch = HostScratch(context)};
  EntryOf<Args>(guard.reference_).function(here, host);
  mirror.StoreOutputs();
}

template <typename Args>
void KernelGuard::Watch(const Args& args, ExecutionContext& context) {
  ScratchArena& scratch = HostScratch(context);
  const ScratchScope scope(scratch);
  HostMirror mirror(*table_.device);
  const Args here = mirror.MirrorActivations(args);
  const int64_t num_rows = NumRows(here);
  const TensorView<float, 2> changed = ChangedInput(here);
  const auto saved = scratch.Allocate<float>(changed.extent(0), changed.extent(1));
  for (int64_t row = 0; row < changed.extent(0); ++row) {
    CopyRow(changed.Row(row), saved.Row(row));
  }
  const auto had_finite_input = scratch.Allocate<uint8_t>(num_rows);
  for (int64_t row = 0; row < num_rows; ++row) {
    had_finite_input(row) = InputIsFinite(here, row) ? 1 : 0;
  }
  const Kernel<Args>& entry = EntryOf<Args>(table_);
  entry.function(args, context);
  mirror.FetchOutputs();
  const bool is_reference = entry.function == &CallReference<Args> ||
                            entry.function == EntryOf<Args>(reference_).function;
  if (!is_reference && Repair<Args>({here, saved, had_finite_input, mirror}, context)) {
    mirror.StoreOutputs();
    ops_[IndexOf<Args>(table_)].is_to_blame = true;
  }
}

// Computes by the reference what came out not finite; true when that helped.
template <typename Args>
bool KernelGuard::Repair(const Watched<Args>& watched, ExecutionContext& context) const {
  const Args& args = watched.args;
  const TensorView<float, 2> changed = ChangedInput(args);
  ExecutionContext host = {.pool = context.pool, .scratch = HostScratch(context)};
  bool has_helped = false;
  int64_t num_guiltless = 0;
  for (int64_t row = 0; row < NumRows(args); ++row) {
    if (watched.had_finite_input(row) == 0 || OutputIsFinite(args, row)) {
      continue;
    }
    if (!has_helped && num_guiltless == kMaxGuiltlessRows) {
      break;
    }
    if (changed.extent(0) > 0) {
      CopyRow(watched.saved.Row(row), changed.Row(row));
    }
    const Args one = watched.mirror.MirrorOperands(OneRow(args, row));
    EntryOf<Args>(reference_).function(one, host);
    const bool is_finite = OutputIsFinite(one, 0);
    has_helped = has_helped || is_finite;
    num_guiltless += is_finite ? 0 : 1;
  }
  return has_helped;
}

}  // namespace hadal
