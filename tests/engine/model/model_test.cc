// A batch that breaks a rule of forward_batch.h must end the process before it reaches a kernel.

#include "engine/model/model.h"

#include <gtest/gtest.h>

#include "tests/support/golden.h"

namespace hadal {
namespace {

class ModelDeathTest : public testing::Test {
 protected:
  ModelDeathTest() {
    auto cache = KvCache::Create({.config = golden_.config(),
                                  .mtp = MtpCache::kNone,
                                  .dtype = DType::kF32,
                                  .num_blocks = 3,
                                  .device = CpuDevice()});
    CHECK(cache.ok());
    cache_.emplace(*std::move(cache));
  }

  // Two sequences: positions 63 to 65 over blocks 2 and 0, and position 5 in block 1.
  static ForwardBatch GoodBatch() {
    return {.token_ids = {1, 2, 3, 4},
            .positions = {63, 64, 65, 5},
            .slots = {2 * kBlockSize + 63, 0, 1, kBlockSize + 5},
            .query_starts = {0, 3, 4},
            .block_tables = {2, 0, 1, 1},
            .max_blocks = 2};
  }

  void Forward(const ForwardBatch& batch) {
    std::vector<float> hidden(8 * static_cast<size_t>(golden_.config().hidden_size));
    runner_.model().Forward(
        batch,
        *cache_,
        runner_.context(),
        MakeView(hidden.data(), batch.num_tokens(), golden_.config().hidden_size));
  }

  const Golden golden_ = Golden::Load("kimi");
  ModelRunner runner_{golden_, "reference", MlaForm::kAuto};
  std::optional<KvCache> cache_;
};

TEST_F(ModelDeathTest, EachRuleOfABatchIsChecked) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  Forward(GoodBatch());
  const std::vector<std::pair<const char*, void (*)(ForwardBatch&)>> breaches = {
      {"negative token", [](ForwardBatch& b) { b.token_ids[0] = -1; }},
      {"token outside the vocabulary", [](ForwardBatch& b) { b.token_ids[3] = 1 << 20U; }},
      {"missing position", [](ForwardBatch& b) { b.positions.pop_back(); }},
      {"negative position", [](ForwardBatch& b) { b.positions[3] = -1; }},
      {"position beyond the table", [](ForwardBatch& b) { b.positions[3] = 128; }},
      {"positions with a gap", [](ForwardBatch& b) { b.positions[2] = 66; }},
      {"missing slot", [](ForwardBatch& b) { b.slots.pop_back(); }},
      {"slot of another sequence", [](ForwardBatch& b) { b.slots[3] = 5; }},
      {"block outside the cache", [](ForwardBatch& b) { b.block_tables[0] = 3; }},
      {"negative block", [](ForwardBatch& b) { b.block_tables[0] = -1; }},
      {"short block table", [](ForwardBatch& b) { b.block_tables.pop_back(); }},
      {"first start", [](ForwardBatch& b) { b.query_starts[0] = 1; }},
      {"last start", [](ForwardBatch& b) { b.query_starts[2] = 3; }},
      {"falling starts", [](ForwardBatch& b) { b.query_starts[1] = 5; }}};
  for (const auto& [name, breach] : breaches) {
    ForwardBatch batch = GoodBatch();
    breach(batch);
    EXPECT_DEATH(Forward(batch), "CHECK failed") << name;
  }
}

}  // namespace
}  // namespace hadal
