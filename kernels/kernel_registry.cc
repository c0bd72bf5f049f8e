#include "kernels/kernel_registry.h"

#include <array>

#include <absl/strings/str_join.h>
#include <absl/strings/str_split.h>

#include "kernels/cpu/table.h"
#include "kernels/cuda/table.h"
#include "kernels/reference/table.h"

namespace hadal {
namespace {

struct CpuBackEnd {
  cpu::Isa isa;
  const char* name;
};

// Best first.
constexpr std::array kCpuBackEnds = {CpuBackEnd{cpu::Isa::kAmx, "cpu-amx"},
                                     CpuBackEnd{cpu::Isa::kAvx512, "cpu-avx512"},
                                     CpuBackEnd{cpu::Isa::kAvx2, "cpu-avx2"},
                                     CpuBackEnd{cpu::Isa::kPortable, "cpu-portable"}};

// Whose memory arguments lie in.
enum class Memory : int8_t { kDevice, kHost };

absl::StatusOr<KernelTable> MakeTable(std::string_view name, Memory memory) {
  if (name == "auto") {
    return MakeTable(AvailableBackEnds().front(), memory);
  }
  if (name == "reference") {
    return reference::MakeTable();
  }
  if (name == "cuda") {
    return memory == Memory::kHost ? cuda::MakeStagedTable() : cuda::MakeTable();
  }
  for (const CpuBackEnd& back_end : kCpuBackEnds) {
    if (name == back_end.name) {
      if (!cpu::IsSupported(back_end.isa)) {
        return Unimplemented("kernels \"%s\": this CPU lacks the instructions", name);
      }
      return cpu::MakeTable(back_end.isa);
    }
  }
  return InvalidArgument("no kernels named \"%s\"; this machine has: auto, %s",
                         name,
                         absl::StrJoin(AvailableBackEnds(), ", "));
}

// Puts `source`'s implementation of the op called `op_name` into `table`.
absl::Status ReplaceOp(std::string_view op_name, KernelTable& source, KernelTable& table) {
  bool found = false;
  KernelTable::ForEachOp(
      [&](std::string_view name, auto& target, auto& replacement) {
        if (name == op_name) {
          target = replacement;
          found = true;
        }
      },
      table,
      source);
  return found ? absl::OkStatus() : InvalidArgument("no op named \"%s\"", op_name);
}

absl::StatusOr<KernelTable> Build(std::string_view selection, Memory memory) {
  const std::vector<std::string> parts = absl::StrSplit(std::string(selection), ',');
  ASSIGN_OR_RETURN(KernelTable table, MakeTable(parts.front(), memory));
  for (size_t i = 1; i < parts.size(); ++i) {
    const std::vector<std::string> op_and_name = absl::StrSplit(parts[i], '=');
    if (op_and_name.size() != 2) {
      return InvalidArgument("\"%s\": expected op=kernels, such as linear=reference", parts[i]);
    }
    ASSIGN_OR_RETURN(KernelTable source, MakeTable(op_and_name[1], memory));
    if (source.device != table.device) {
      return InvalidArgument("\"%s\": its tensors lie in the memory of %s, those of %s in %s's",
                             parts[i],
                             source.device->name,
                             parts.front(),
                             table.device->name);
    }
    RETURN_IF_ERROR(ReplaceOp(op_and_name[0], source, table));
  }
  return table;
}

}  // namespace

std::vector<std::string> AvailableBackEnds() {
  std::vector<std::string> names;
  if (cuda::MakeTable().ok()) {
    names.emplace_back("cuda");
  }
  for (const CpuBackEnd& back_end : kCpuBackEnds) {
    if (cpu::IsSupported(back_end.isa)) {
      names.emplace_back(back_end.name);
    }
  }
  names.emplace_back("reference");
  return names;
}

absl::StatusOr<KernelTable> BuildKernelTable(std::string_view selection) {
  return Build(selection, Memory::kDevice);
}

absl::StatusOr<KernelTable> BuildHostKernelTable(std::string_view selection) {
  return Build(selection, Memory::kHost);
}

std::string Describe(const KernelTable& table) {
  std::vector<std::string> lines;
  KernelTable::ForEachOp(
      [&lines](const char* name, const auto& kernel) {
        lines.push_back(absl::StrFormat("%s: %s", name, kernel.implementation));
      },
      table);
  return absl::StrJoin(lines, "\n");
}

}  // namespace hadal
