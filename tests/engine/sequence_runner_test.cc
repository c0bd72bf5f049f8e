#include "engine/sequence_runner.h"

#include <gtest/gtest.h>

#include "tests/support/golden.h"

namespace hadal {
namespace {

TEST(SequenceRunnerTest, VisitsEveryTokenOnceInChunks) {
  const Golden golden = Golden::Load("kimi");
  ModelRunner runner(golden, "auto", MlaForm::kAuto);
  const std::vector<TokenId> ids = golden.Ids("input_ids");
  auto sequence = SequenceRunner::Create({.model = runner.model(),
                                          .context = runner.context(),
                                          .cache_dtype = DType::kBf16,
                                          .max_tokens = 96,
                                          .chunk_tokens = 40});
  ASSERT_TRUE(sequence.ok());
  std::vector<std::pair<int64_t, int64_t>> chunks;
  sequence->Append(ids, [&chunks](int64_t first, const TensorView<const float, 2>& hidden) {
    chunks.emplace_back(first, hidden.extent(0));
  });
  EXPECT_EQ(chunks, (std::vector<std::pair<int64_t, int64_t>>{{0, 40}, {40, 40}, {80, 16}}));
  EXPECT_EQ(sequence->size(), 96);
}

TEST(SequenceRunnerTest, PredictingTokenByTokenEqualsAtOnce) {
  const Golden golden = Golden::Load("moonlight");
  ModelRunner runner(golden, "auto", MlaForm::kAuto);
  const std::vector<TokenId> ids = golden.Ids("input_ids");
  const std::vector<float> expected = golden.Floats("logits");
  auto sequence = SequenceRunner::Create({.model = runner.model(),
                                          .context = runner.context(),
                                          .cache_dtype = DType::kF32,
                                          .max_tokens = std::ssize(ids),
                                          .chunk_tokens = 1});
  ASSERT_TRUE(sequence.ok());
  const auto vocab_size = static_cast<size_t>(golden.config().vocab_size);
  for (size_t t = 0; t < ids.size(); ++t) {
    const std::span<const float> logits = sequence->AppendAndPredict({&ids[t], 1});
    for (size_t v = 0; v < vocab_size; ++v) {
      ASSERT_NEAR(logits[v], expected[t * vocab_size + v], 1e-3);
    }
  }
}

TEST(SequenceRunnerDeathTest, NeverGrowsBeyondItsRoom) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const Golden golden = Golden::Load("kimi");
  ModelRunner runner(golden, "auto", MlaForm::kAuto);
  auto sequence = SequenceRunner::Create({.model = runner.model(),
                                          .context = runner.context(),
                                          .cache_dtype = DType::kF32,
                                          .max_tokens = 3,
                                          .chunk_tokens = 8});
  ASSERT_TRUE(sequence.ok());
  const std::vector<TokenId> ids = {1, 2, 3, 4};
  EXPECT_DEATH(sequence->AppendAndPredict(ids), "max_tokens");
}

}  // namespace
}  // namespace hadal
