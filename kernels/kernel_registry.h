#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "kernels/kernel_table.h"

namespace hadal {

/// The names of the back ends that this machine can run, best first: "cuda", "cpu-amx",
/// "cpu-avx512", "cpu-avx2", "cpu-portable", "reference".
std::vector<std::string> AvailableBackEnds();

/// Builds a table from a `--kernels` value: "auto" (the best back end), or a back end's name,
/// optionally followed by single replacements: "cpu-avx2,mla_attention=reference".
/// InvalidArgument names the part that no back end or op has, or that takes another device's memory
/// than the first; Unimplemented or Unavailable says why a known back end cannot run here.
absl::StatusOr<KernelTable> BuildKernelTable(std::string_view selection);

/// The same for arguments in the host's memory: an op of another device copies them there and back
/// in each call, so that all can be mixed. For tests of ops alone.
absl::StatusOr<KernelTable> BuildHostKernelTable(std::string_view selection);

/// One line for each op: "mla_attention: cpu-avx512".
std::string Describe(const KernelTable& table);

}  // namespace hadal
