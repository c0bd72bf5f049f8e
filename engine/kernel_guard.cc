#include "engine/kernel_guard.h"

#include <algorithm>
#include <type_traits>

#include <absl/strings/str_format.h>

#include "base/check.h"
#include "base/log.h"
#include "engine/op_rows.h"

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

KernelGuard::KernelGuard(const KernelTable& selected, const KernelTable& reference)
    : table_(selected), reference_(reference), careful_table_(selected) {
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
      [&](const char* name, auto& entry, const auto& reference) {
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
          entry = reference;
          op.demoted = true;
          Log(LogLevel::kError,
              absl::StrFormat("%s of %s is demoted: the reference runs in its place, which is slow",
                              name,
                              op.implementation));
        }
      },
      table_,
      reference_);
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
void KernelGuard::Watch(const Args& args, ExecutionContext& context) {
  const ScratchScope scope(context.scratch);
  const int64_t num_rows = NumRows(args);
  const TensorView<float, 2> changed = ChangedInput(args);
  const auto saved = context.scratch.Allocate<float>(changed.extent(0), changed.extent(1));
  for (int64_t row = 0; row < changed.extent(0); ++row) {
    CopyRow(changed.Row(row), saved.Row(row));
  }
  const auto had_finite_input = context.scratch.Allocate<uint8_t>(num_rows);
  for (int64_t row = 0; row < num_rows; ++row) {
    had_finite_input(row) = InputIsFinite(args, row) ? 1 : 0;
  }
  const Kernel<Args>& entry = EntryOf<Args>(table_);
  entry.function(args, context);
  if (entry.function != EntryOf<Args>(reference_).function &&
      Repair<Args>(args, saved, had_finite_input, context)) {
    ops_[IndexOf<Args>(table_)].is_to_blame = true;
  }
}

// Computes by the reference what came out not finite; true when that helped.
template <typename Args>
bool KernelGuard::Repair(const Args& args,
                         const TensorView<const float, 2>& saved,
                         const TensorView<const uint8_t, 1>& had_finite_input,
                         ExecutionContext& context) const {
  const TensorView<float, 2> changed = ChangedInput(args);
  bool has_helped = false;
  int64_t num_guiltless = 0;
  for (int64_t row = 0; row < NumRows(args); ++row) {
    if (had_finite_input(row) == 0 || OutputIsFinite(args, row)) {
      continue;
    }
    if (!has_helped && num_guiltless == kMaxGuiltlessRows) {
      break;
    }
    if (changed.extent(0) > 0) {
      CopyRow(saved.Row(row), changed.Row(row));
    }
    const Args one = OneRow(args, row);
    EntryOf<Args>(reference_)(one, context);
    const bool is_finite = OutputIsFinite(one, 0);
    has_helped = has_helped || is_finite;
    num_guiltless += is_finite ? 0 : 1;
  }
  return has_helped;
}

}  // namespace hadal
