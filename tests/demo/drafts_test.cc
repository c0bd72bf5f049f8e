// Drafts of a model that was trained: they come true often, and what is generated is what would be
// without them.

#include <algorithm>
#include <numeric>
#include <string>
#include <tuple>

#include <gtest/gtest.h>

#include "engine/sequence_runner.h"
#include "tests/demo/demo_chats.h"
#include "tests/support/scheduled_model.h"

namespace hadal {
namespace {

#ifdef HADAL_SANITIZED
constexpr size_t kNumChats = 24;
#else
constexpr size_t kNumChats = 240;
#endif
constexpr int64_t kMaxNewTokens = 96;

class DraftsTest : public testing::Test {
 protected:
  DraftsTest() { requests_.resize(std::min(kNumChats, requests_.size())); }

  ScheduledModel Model(int64_t num_running, int64_t max_draft_tokens, DraftLength draft_length) {
    return ScheduledModel({.golden = golden_,
                           .limits = {.max_running_sequences = num_running,
                                      .max_step_tokens = 512,
                                      .max_draft_tokens = max_draft_tokens,
                                      .draft_length = draft_length,
                                      .max_requests = 256,
                                      .num_blocks = 1024},
                           .num_threads = 2,
                           .cache_dtype = DType::kBf16});
  }

  void ExpectDraftsChangeNothing() {
    const Answers expected = Model(32, 0, DraftLength::kFixed).RunAll(requests_);
    for (const auto& [num_running, max_draft_tokens, draft_length] :
         {std::tuple(1, 3, DraftLength::kFixed),
          {8, 8, DraftLength::kFixed},
          {32, 1, DraftLength::kFixed},
          {32, 8, DraftLength::kAdapted}}) {
      ScheduledModel model = Model(num_running, max_draft_tokens, draft_length);
      EXPECT_EQ(model.RunAll(requests_), expected) << num_running << " " << max_draft_tokens;
      EXPECT_GT(model.scheduler().counts().total_accepted[0], 0);
    }
  }

  Golden golden_ = Golden::Demo();
  std::vector<Request> requests_ = DemoRequests(kMaxNewTokens);
};

TEST_F(DraftsTest, GreedyAnswersStayTheSame) {
  ExpectDraftsChangeNothing();
}

TEST_F(DraftsTest, SampledAnswersStayTheSame) {
  for (Request& request : requests_) {
    const auto id = static_cast<int64_t>(request.id);
    request.sampling = {.temperature = 0.8F,
                        .top_k = id % 5 == 1 ? 40 : 0,
                        .top_p = id % 5 == 2 ? 0.9F : 1.0F,
                        .min_p = id % 5 == 3 ? 0.05F : 0.0F,
                        .frequency_penalty = id % 5 == 4 ? 0.5F : 0.0F,
                        .repetition_penalty = id % 3 == 1 ? 1.1F : 1.0F,
                        .seed = static_cast<uint64_t>(id),
                        .num_logprobs = 0};
  }
  ExpectDraftsChangeNothing();
}

TEST_F(DraftsTest, MostGreedyDraftsComeTrue) {
  ScheduledModel model = Model(32, 1, DraftLength::kFixed);
  model.RunAll(requests_);
  const auto& counts = model.scheduler().counts();
  ASSERT_GT(counts.total_drafted[0], static_cast<int64_t>(requests_.size()));
  EXPECT_GE(static_cast<double>(counts.total_accepted[0]),
            0.6 * static_cast<double>(counts.total_drafted[0]));
}

// What the module is given in the place of the hidden state after `model.norm`.
enum class HiddenState { kNormed, kBeforeNorm, kOfThePositionBefore };

class HiddenStateTest : public DraftsTest {
 protected:
  // How many tokens of greedy answers the module guesses, of how many.
  struct Guesses {
    int64_t num_right = 0;
    int64_t num = 0;
    [[nodiscard]] double share() const {
      return static_cast<double>(num_right) / static_cast<double>(num);
    }
  };

  Guesses GuessAll(HiddenState state) {
    constexpr size_t kNumSequences = 100;
    const std::vector<Request> requests(
        requests_.begin(),
        requests_.begin() + static_cast<int64_t>(std::min(kNumSequences, requests_.size())));
    const Answers answers = Model(32, 0, DraftLength::kFixed).RunAll(requests);
    Guesses guesses;
    for (const Request& request : requests) {
      std::vector<TokenId> tokens = request.prompt;
      for (const auto& [token, logprob] : answers.at(static_cast<int64_t>(request.id)).front()) {
        tokens.push_back(token);
      }
      Guess(tokens, std::ssize(request.prompt), state, guesses);
    }
    return guesses;
  }

 private:
  // Row i of the module stands at position i, reads token i + 1, and guesses token i + 2.
  void Guess(const std::vector<TokenId>& tokens,
             int64_t num_prompt_tokens,
             HiddenState state,
             Guesses& guesses) {
    const ModelConfig& config = golden_.config();
    const Device& device = *runner_.model().kernels().device;
    const int64_t count = std::ssize(tokens) - 1;
    std::vector<float> hidden = HiddenStates(tokens);
    if (state == HiddenState::kBeforeNorm) {
      UndoNorm(hidden);
    } else if (state == HiddenState::kOfThePositionBefore) {
      std::shift_right(hidden.begin(), hidden.end(), config.hidden_size);
    }
    const int64_t num_blocks = (count + kBlockSize - 1) / kBlockSize;
    auto cache = KvCache::Create({.config = config,
                                  .mtp = MtpCache::kIncluded,
                                  .dtype = DType::kF32,
                                  .num_blocks = num_blocks,
                                  .device = device});
    ASSERT_TRUE(cache.ok());
    ForwardBatch batch;
    for (int64_t i = 0; i < count; ++i) {
      batch.token_ids.push_back(tokens[static_cast<size_t>(i + 1)]);
      batch.positions.push_back(static_cast<int32_t>(i));
      batch.slots.push_back(i);
    }
    batch.query_starts = {0, static_cast<int32_t>(count)};
    batch.block_tables.resize(static_cast<size_t>(num_blocks));
    std::iota(batch.block_tables.begin(), batch.block_tables.end(), 0);
    batch.max_blocks = num_blocks;
    const DeviceRows states(
        device,
        std::span(hidden).first(static_cast<size_t>(count * config.hidden_size)),
        config.hidden_size);
    const TensorView<float, 2>& rows = states.view();
    runner_.model().ForwardMtp(0, batch, rows, *cache, runner_.context(), rows);
    std::vector<float> logits(static_cast<size_t>(count * config.vocab_size));
    runner_.model().FetchLogits(
        rows, runner_.context(), MakeView(logits.data(), count, config.vocab_size));
    for (int64_t i = num_prompt_tokens - 1; i + 2 < std::ssize(tokens); ++i) {
      const auto row = logits.begin() + i * config.vocab_size;
      const auto best = std::max_element(row, row + config.vocab_size) - row;
      guesses.num_right += best == tokens[static_cast<size_t>(i + 2)] ? 1 : 0;
      ++guesses.num;
    }
  }

  std::vector<float> HiddenStates(const std::vector<TokenId>& tokens) {
    auto sequence = SequenceRunner::Create({.model = runner_.model(),
                                            .context = runner_.context(),
                                            .cache_dtype = DType::kF32,
                                            .max_tokens = std::ssize(tokens),
                                            .chunk_tokens = std::ssize(tokens)});
    CHECK(sequence.ok());
    std::vector<float> hidden;
    sequence->Append(tokens, [&](int64_t /*first*/, const TensorView<const float, 2>& rows) {
      hidden = Fetch(*runner_.model().kernels().device, rows);
    });
    return hidden;
  }

  // But for a factor of each row, which the module's own norm takes out.
  void UndoNorm(std::vector<float>& hidden) {
    const TensorView<const float, 1>& weight = golden_.weights().norm;
    for (size_t i = 0; i < hidden.size(); ++i) {
      hidden[i] /= weight.data[i % static_cast<size_t>(golden_.config().hidden_size)];
    }
  }

  ModelRunner runner_{golden_, "auto", MlaForm::kAbsorbed};
};

TEST_F(HiddenStateTest, WrongOnesShow) {
  const Guesses right = GuessAll(HiddenState::kNormed);
  const Guesses before_norm = GuessAll(HiddenState::kBeforeNorm);
  const Guesses position_before = GuessAll(HiddenState::kOfThePositionBefore);
  RecordProperty("right", std::to_string(right.share()));
  RecordProperty("before_norm", std::to_string(before_norm.share()));
  RecordProperty("position_before", std::to_string(position_before.share()));
  EXPECT_GE(right.share(), 0.6);
  EXPECT_LT(before_norm.share(), right.share() - 0.05);
  EXPECT_LT(position_before.share(), right.share() - 0.2);
}

}  // namespace
}  // namespace hadal
