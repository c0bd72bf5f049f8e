#include "kernels/embedding.h"

#include "kernels/self_test/embedding.h"
#include "tests/support/compare.h"
#include "tests/support/kernel_runner.h"

namespace hadal {
namespace {

class EmbeddingParityTest : public test::ParityTest {};

// For the formats that are widened: all but float.
class EmbeddingWideningTest : public test::ParityTest {};

std::vector<test::ParityCase> WideningCases() {
  std::vector<test::ParityCase> cases = test::PublishedFormatCases();
  std::erase_if(cases, [](const test::ParityCase& parity_case) {
    return parity_case.weights.format == WeightFormat::kF32;
  });
  return cases;
}

// Rows are copied and widened, which is exact: no tolerance.
TEST_P(EmbeddingParityTest, RowsAreTheTables) {
  constexpr int64_t kVocabSize = 41;
  for (const int64_t num_tokens : {0, 1, 3, 16, 17, 100}) {
    for (const int64_t hidden_size : {1, 7, 16, 129, 520}) {
      SCOPED_TRACE(testing::Message() << num_tokens << " x " << hidden_size);
      self_test::EmbeddingProblem problem(
          GetParam().weights,
          {.num_tokens = num_tokens, .vocab_size = kVocabSize, .hidden_size = hidden_size});
      const std::string ids_before = problem.ids.Bytes();
      problem.Reset();
      problem.Call(reference_, runners_[0]->context);
      const std::vector<float> expected = problem.Outputs();
      for (const auto& runner : runners_) {
        problem.Reset();
        problem.Call(table_, runner->context);
        EXPECT_TRUE(test::HasSameBits(problem.Outputs(), expected));
        EXPECT_TRUE(problem.GuardsIntact());
        EXPECT_TRUE(problem.ids.Bytes() == ids_before);
      }
    }
  }
}

// Every code of the 8-bit and 16-bit formats, NaN and subnormals among them, is widened alike.
TEST_P(EmbeddingWideningTest, EveryCodeIsWidenedAlike) {
  const WeightFormat format = GetParam().weights.format;
  constexpr int64_t kCols = 259;  // a tail after whole vectors
  const int64_t num_codes = format == WeightFormat::kFp8Block ? 256 : 65536;
  const int64_t rows = (num_codes + kCols - 1) / kCols;
  const auto code_of = [&](int64_t i) { return i % num_codes; };
  std::vector<uint8_t> bytes;
  std::vector<uint16_t> words;
  for (int64_t i = 0; i < rows * kCols; ++i) {
    bytes.push_back(static_cast<uint8_t>(code_of(i)));
    words.push_back(static_cast<uint16_t>(code_of(i)));
  }
  const float scale = 0.375F;
  WeightMatrix table = {.format = format, .rows = rows, .cols = kCols, .payload = words.data()};
  if (format == WeightFormat::kFp8Block) {
    table.payload = bytes.data();
    table.scales = &scale;
    table.block_rows = rows;
    table.block_cols = kCols;
  }
  self_test::GuardedTensor<int32_t, 1> ids(rows);
  int32_t next_id = 0;
  ids.Fill([&] { return next_id++; });
  self_test::GuardedTensor<float, 2> y(rows, kCols);
  const EmbeddingArgs args = {.token_ids = ids.input(), .table = table, .y = y.view()};
  reference_.embedding(args, runners_[0]->context);
  const std::vector<float> expected = y.Elements();
  y.Poison();
  table_.embedding(args, runners_[0]->context);
  const std::vector<double> exact(expected.size(), 0.0);
  EXPECT_TRUE(test::IsClose(y.Elements(), expected, exact));
}

INSTANTIATE_TEST_SUITE_P(BackEnds,
                         EmbeddingParityTest,
                         testing::ValuesIn(test::PublishedFormatCases()),
                         test::NameOfParam);
INSTANTIATE_TEST_SUITE_P(BackEnds,
                         EmbeddingWideningTest,
                         testing::ValuesIn(WideningCases()),
                         test::NameOfParam);

}  // namespace
}  // namespace hadal
