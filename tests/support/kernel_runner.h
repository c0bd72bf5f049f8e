#pragma once

#include <iosfwd>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/thread_pool.h"
#include "kernels/execution_context.h"
#include "kernels/kernel_registry.h"
#include "kernels/self_test/random_tensors.h"

namespace hadal::test {

/// What an op needs to run: a pool of its own and scratch memory.
struct KernelRunner {
  explicit KernelRunner(int32_t num_threads) : pool(num_threads), scratch(CpuDevice()) {}

  ThreadPool pool;
  ScratchArena scratch;
  ExecutionContext context = {.pool = pool, .scratch = scratch};
};

/// Runners with pools that have nobody to share with, one to share with, and more threads than CPUs
/// of a small machine.
std::vector<std::unique_ptr<KernelRunner>> MakeRunners();

/// A table that is known to exist, emulated_table.h's too.
KernelTable TableOf(const std::string& back_end);

/// A back end and a weight format: the parameter of parity tests.
struct ParityCase {
  std::string back_end;
  self_test::WeightSpec weights;
};

/// Every back end of this machine except the reference, with every weight format; those of
/// published checkpoints alone for ops whose weights are never quantised.
std::vector<ParityCase> ParityCases();
std::vector<ParityCase> PublishedFormatCases();

/// Emulated tiles with every weight format that takes tiles, for ops that multiply by weights.
std::vector<ParityCase> EmulatedTilesCases();

/// Every back end with float weights only, for ops whose formats are no matter.
std::vector<ParityCase> BackEndCases();

/// "cpu_avx2_Bf16".
std::string NameOf(const ParityCase& parity_case);

/// So that a failing test prints the case.
std::ostream& operator<<(std::ostream& out, const ParityCase& parity_case);

/// Names the instances of a suite.
inline std::string NameOfParam(const testing::TestParamInfo<ParityCase>& info) {
  return NameOf(info.param);
}

/// The same for a suite whose parameter is the name of a back end.
std::string NameOfBackEnd(const testing::TestParamInfo<std::string>& info);

/// One back end against the reference.
class ParityTest : public testing::TestWithParam<ParityCase> {
 protected:
  const KernelTable table_ = TableOf(GetParam().back_end);
  const KernelTable reference_ = TableOf("reference");
  const std::vector<std::unique_ptr<KernelRunner>> runners_ = MakeRunners();
};

}  // namespace hadal::test
