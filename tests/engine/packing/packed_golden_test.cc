// Whole models with packed weights against the transformers package.
//
// Tolerance: rounding errs by 0.7 % of a weight's deviation as int8 and by 8.4 % as int4, that of
// inputs by another 0.7 % (kernels/quantization/panels.h, int8_row.h). A product's sum has the same
// relative error as its terms, and a model of L layers adds up those of about 3 L products in a
// row, which are independent: sqrt(3 L) times one of them, so that 3 layers and a head bring int8
// logits 3 % of their deviation of 2 off, and int4 logits 26 %. Each is allowed twice that. Where a
// router's near-tie tips the token takes other experts, which is no error: the median over the
// tokens counts, as for the bf16 cache in golden_test.cc.

#include <algorithm>

#include <gtest/gtest.h>

#include "tests/support/emulated_table.h"
#include "tests/support/golden.h"

namespace hadal {
namespace {

class PackedGoldenTest : public testing::TestWithParam<std::tuple<std::string, WeightPacking>> {};

double MedianRms(const std::vector<float>& logits,
                 const std::vector<float>& expected,
                 size_t vocab_size) {
  std::vector<double> rms;
  for (size_t begin = 0; begin < expected.size(); begin += vocab_size) {
    const auto row = [&](const std::vector<float>& all) {
      return std::vector<float>(all.begin() + static_cast<int64_t>(begin),
                                all.begin() + static_cast<int64_t>(begin + vocab_size));
    };
    rms.push_back(RmsDifference(row(logits), row(expected)));
  }
  std::nth_element(rms.begin(), rms.begin() + std::ssize(rms) / 2, rms.end());
  return rms[rms.size() / 2];
}

TEST_P(PackedGoldenTest, LogitsOfEveryBackEnd) {
  const auto& [name, packing] = GetParam();
  const Golden golden = Golden::LoadPacked(name, packing);
  const double deviation = 2;
  const double tolerance = 2 * deviation * (packing == WeightPacking::kInt8 ? 0.03 : 0.26);
  std::vector<KernelTable> tables = {test::EmulatedTilesTable()};
  if (name == "v2-lite" || name == "v3-fp8") {  // it is slow
    tables = test::WithEmulatedCuda(std::move(tables));
  }
  for (const std::string& kernels : AvailableBackEnds()) {
    tables.push_back(*BuildKernelTable(kernels));
  }
  for (const KernelTable& table : tables) {
    ModelRunner runner(
        {.golden = golden, .kernels = table, .form = MlaForm::kAbsorbed, .num_threads = 3});
    const std::vector<float> logits = runner.Logits(golden.Ids("input_ids"), 1000, DType::kF32);
    const double rms =
        MedianRms(logits, golden.Floats("logits"), static_cast<size_t>(golden.config().vocab_size));
    EXPECT_LT(rms, tolerance) << table.linear.implementation;
    EXPECT_GT(rms, 1e-5) << table.linear.implementation << ": nothing was rounded";
  }
}

INSTANTIATE_TEST_SUITE_P(Cases,
                         PackedGoldenTest,
                         testing::Combine(testing::ValuesIn(Golden::Names()),
                                          testing::Values(WeightPacking::kInt8,
                                                          WeightPacking::kInt4)),
                         [](const auto& test_case) {
                           std::string name = std::get<0>(test_case.param) + "_" +
                                              std::string(NameOf(std::get<1>(test_case.param)));
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace hadal
