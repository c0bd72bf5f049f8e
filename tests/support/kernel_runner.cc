#include "tests/support/kernel_runner.h"

#include <algorithm>
#include <ostream>

#include "kernels/cpu/tiles/tile_product.h"
#include "kernels/quantization/panels.h"
#include "tests/support/emulated_table.h"

namespace hadal::test {

std::vector<std::unique_ptr<KernelRunner>> MakeRunners() {
  std::vector<std::unique_ptr<KernelRunner>> runners;
  for (const int32_t num_threads : {1, 2, 5}) {
    runners.push_back(std::make_unique<KernelRunner>(num_threads));
  }
  return runners;
}

KernelTable TableOf(const std::string& back_end) {
  if (back_end == kEmulatedTilesName) {
    return EmulatedTilesTable();
  }
  if (back_end == kEmulatedCudaName) {
    return EmulatedCudaStagedTable();
  }
  auto table = BuildHostKernelTable(back_end);
  CHECK(table.ok());
  return *table;
}

std::vector<ParityCase> ParityCases() {
  std::vector<ParityCase> cases;
  for (const ParityCase& back_end : BackEndCases()) {
    for (const self_test::WeightSpec& weights : self_test::AllWeightSpecs()) {
      cases.push_back({.back_end = back_end.back_end, .weights = weights});
    }
  }
  return cases;
}

std::vector<ParityCase> PublishedFormatCases() {
  std::vector<ParityCase> cases = ParityCases();
  std::erase_if(
      cases, [](const ParityCase& parity_case) { return IsQuantized(parity_case.weights.format); });
  return cases;
}

std::vector<ParityCase> EmulatedTilesCases() {
  std::vector<ParityCase> cases;
  for (const self_test::WeightSpec& weights : self_test::AllWeightSpecs()) {
    const WeightMatrix weight = {.format = weights.format,
                                 .block_rows = weights.block_rows,
                                 .block_cols = weights.block_cols};
    if (cpu::TakesTiles(weight)) {
      cases.push_back({.back_end = kEmulatedTilesName, .weights = weights});
    }
  }
  return cases;
}

std::vector<ParityCase> BackEndCases() {
  std::vector<ParityCase> cases;
  for (const std::string& name : AvailableBackEnds()) {
    if (name != "reference") {
      cases.push_back({.back_end = name, .weights = {.format = WeightFormat::kF32}});
    }
  }
  if (EmulatesCuda()) {
    cases.push_back({.back_end = kEmulatedCudaName, .weights = {.format = WeightFormat::kF32}});
  }
  return cases;
}

std::string NameOfBackEnd(const testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

std::string NameOf(const ParityCase& parity_case) {
  std::string name = parity_case.back_end + "_" + NameOf(parity_case.weights);
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

std::ostream& operator<<(std::ostream& out, const ParityCase& parity_case) {
  return out << NameOf(parity_case);
}

}  // namespace hadal::test
