// A request gives the same tokens and the same bits of log-probabilities alone, beside others, in
// chunks of any size, preempted and computed again, with a prefix hit and without, from blocks that
// prompts or answers left behind.

#include <algorithm>
#include <optional>
#include <random>
#include <tuple>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/sample/sampler.h"
#include "engine/sequence_runner.h"
#include "tests/support/scheduled_model.h"

namespace hadal {
namespace {

constexpr int64_t kNumRequests = 33;

// Both generations; sanitizers, which slow everything down tenfold, look at two models.
#ifdef HADAL_SANITIZED
const std::vector<std::string> kGoldens = {"v2-lite", "v3-fp8"};
#else
const std::vector<std::string> kGoldens = {
    "v2", "v2-lite", "v3-f32", "v3-fp8", "kimi", "moonlight"};
#endif

// The token that breaks the step of a sequence which holds it, once its embedding is poisoned.
constexpr TokenId kBadToken = 3;

class SameTokensTest : public testing::TestWithParam<std::tuple<std::string, DType>> {
 protected:
  SameTokensTest() {
    for (int64_t id = 0; id < kNumRequests; ++id) {
      requests_.push_back(DrawRequest(id));
    }
    for (const Request& request : requests_) {
      alone_[static_cast<int64_t>(request.id)] = Alone(request);
    }
  }

  // Prompts of 1 to 200 tokens, half of them with beginnings in common; greedy and sampled.
  Request DrawRequest(int64_t id) {
    const auto vocab_size = static_cast<TokenId>(golden_.config().vocab_size);
    const auto draw = [this](int64_t low, int64_t high) {
      return low + static_cast<int64_t>(random_() % static_cast<uint64_t>(high - low + 1));
    };
    Request request;
    request.id = RequestId{id};
    if (id % 2 == 0) {
      for (TokenId i = 0; i < 150; ++i) {
        request.prompt.push_back(i * 7 % vocab_size);
      }
      request.prompt.resize(static_cast<size_t>(draw(1, 150)));
    }
    for (int64_t i = draw(1, 60); i > 0; --i) {
      request.prompt.push_back(static_cast<TokenId>(draw(0, vocab_size - 1)));
    }
    request.max_new_tokens = draw(1, 40);
    request.num_sequences = id % 8 == 5 ? 3 : 1;
    request.sampling = {.temperature = id % 3 == 0 ? 0 : 1.0F,
                        .top_p = id % 3 == 1 ? 0.9F : 1.0F,
                        .frequency_penalty = id % 5 == 0 ? 0.5F : 0.0F,
                        .repetition_penalty = id % 5 == 1 ? 1.2F : 1.0F,
                        .seed = static_cast<uint64_t>(id) * 100,
                        .num_logprobs = 0};
    if (id % 4 == 3) {
      request.stop_token_ids = {static_cast<TokenId>(draw(0, vocab_size - 1))};
    }
    return request;
  }

  // The model and the sampler without scheduler, executor and paging: the oracle.
  std::vector<std::vector<Generated>> Alone(const Request& request) {
    std::vector<std::vector<Generated>> answer;
    Sampler sampler(golden_.config().vocab_size);
    for (int32_t i = 0; i < request.num_sequences; ++i) {
      absl::StatusOr<SequenceRunner> runner = SequenceRunner::Create({.model = runner_.model(),
                                                                      .context = runner_.context(),
                                                                      .cache_dtype = cache_dtype_,
                                                                      .max_tokens = 512,
                                                                      .chunk_tokens = 512});
      CHECK(runner.ok());
      SamplingParams params = request.sampling;
      params.seed += static_cast<uint64_t>(i);
      std::vector<TokenId> tokens = request.prompt;
      std::vector<TokenId> next = tokens;
      std::vector<Generated>& generated = answer.emplace_back();
      bool stopped = false;
      while (!stopped && std::ssize(generated) < request.max_new_tokens) {
        SampledToken sampled;
        CHECK(sampler
                  .Sample({.params = params,
                           .tokens = tokens,
                           .num_prompt_tokens = std::ssize(request.prompt),
                           .num_logprobs = params.num_logprobs,
                           .logits = runner->AppendAndPredict(next)},
                          sampled)
                  .ok());
        generated.push_back(BitsOf(sampled));
        tokens.push_back(sampled.token);
        next = {sampled.token};
        stopped =
            std::count(
                request.stop_token_ids.begin(), request.stop_token_ids.end(), sampled.token) > 0;
      }
    }
    return answer;
  }

  void Start(const Limits& limits, int32_t num_threads) {
    model_.emplace(ScheduledModel::Args{.golden = golden_,
                                        .limits = limits,
                                        .num_threads = num_threads,
                                        .cache_dtype = cache_dtype_});
  }

  Answers RunAll() { return model_->RunAll(requests_); }

  [[nodiscard]] auto counts() const { return model_->scheduler().counts(); }

  std::mt19937_64 random_{1};
  Golden golden_ = Golden::Load(std::get<0>(GetParam()));
  const DType cache_dtype_ = std::get<1>(GetParam());
  ModelRunner runner_{golden_, "auto", MlaForm::kAbsorbed};
  std::vector<Request> requests_;
  Answers alone_;
  std::optional<ScheduledModel> model_;
};

TEST_P(SameTokensTest, OneAfterTheOther) {
  Start({.max_running_sequences = 3, .num_blocks = 64}, 1);
  for (const Request& request : requests_) {
    model_->Add(request);
    EXPECT_EQ(model_->Finish().begin()->second, alone_[static_cast<int64_t>(request.id)]);
  }
  EXPECT_GT(counts().total_cached_tokens, 0);
}

TEST_P(SameTokensTest, BesideAllTheOthers) {
  Start({.max_running_sequences = 64, .max_step_tokens = 512, .num_blocks = 512}, 3);
  EXPECT_EQ(RunAll(), alone_);
  EXPECT_EQ(counts().total_preemptions, 0);
}

TEST_P(SameTokensTest, InChunksOfAnySize) {
  for (const int64_t budget : {3, 17, 64, 100}) {
    Start({.max_running_sequences = 3,
           .max_step_tokens = budget,
           .num_blocks = 64,
           .min_chunk_tokens = 2},
          2);
    EXPECT_EQ(RunAll(), alone_) << budget;
  }
}

TEST_P(SameTokensTest, PreemptedAndComputedAgain) {
  Start({.max_running_sequences = 16, .max_step_tokens = 128, .num_blocks = 9, .watermark = 0}, 2);
  EXPECT_EQ(RunAll(), alone_);
  EXPECT_GT(counts().total_preemptions, 3);
}

TEST_P(SameTokensTest, FromThePrefixCache) {
  Start({.max_running_sequences = 16, .num_blocks = 512}, 2);
  EXPECT_EQ(RunAll(), alone_);
  const int64_t cached_before = counts().total_cached_tokens;
  EXPECT_EQ(RunAll(), alone_);
  const int64_t num_cached = counts().total_cached_tokens - cached_before;
  int64_t num_findable = 0;
  for (const Request& request : requests_) {
    num_findable += (std::ssize(request.prompt) - 1) / kBlockSize * kBlockSize;
  }
  EXPECT_EQ(num_cached, num_findable);
}

// The next turn of a conversation: its prompt holds the last answer, whose rows were computed one
// token at a time.
TEST_P(SameTokensTest, FromBlocksOfAnAnswer) {
  Start({.max_running_sequences = 16, .num_blocks = 512}, 2);
  Request first = requests_[0];
  first.prompt.resize(1);
  first.stop_token_ids.clear();
  first.max_new_tokens = 140;
  model_->Add(first);
  const Answers answers = model_->Finish();
  Request next = first;
  for (const auto& [token, logprob] : answers.begin()->second.front()) {
    next.prompt.push_back(token);
  }
  next.max_new_tokens = 20;
  model_->Add(next);
  EXPECT_EQ(model_->Finish().begin()->second, Alone(next));
  EXPECT_EQ(counts().total_cached_tokens, 128);
}

// Whatever is guessed, what is generated is the same.
TEST_P(SameTokensTest, WithDrafts) {
  if (golden_.config().num_nextn_predict_layers == 0) {
    GTEST_SKIP() << "the model drafts nothing";
  }
  for (const auto& [max_draft_tokens, draft_length] : {std::pair(1, DraftLength::kFixed),
                                                       {3, DraftLength::kFixed},
                                                       {8, DraftLength::kFixed},
                                                       {4, DraftLength::kAdapted}}) {
    Start({.max_running_sequences = 16,
           .max_step_tokens = 64,
           .max_draft_tokens = max_draft_tokens,
           .draft_length = draft_length,
           .num_blocks = 9,
           .watermark = 0,
           .min_chunk_tokens = 2},
          2);
    EXPECT_EQ(RunAll(), alone_) << max_draft_tokens;
    EXPECT_GT(counts().total_drafted[0], 0);
    EXPECT_GT(counts().total_preemptions, 0);
  }
}

// A prompt that breaks its steps in the middle: it ends as failed, the others do not notice, and
// what it wrote is found by nobody.
TEST_P(SameTokensTest, BesideARequestThatBreaks) {
  golden_.PoisonEmbedding(kBadToken);
  Start({.max_running_sequences = 40, .max_step_tokens = 48, .num_blocks = 512}, 2);
  constexpr int64_t kBadId = 1000;
  Request bad = requests_[0];
  bad.id = RequestId{kBadId};
  bad.prompt.assign(300, 5);
  bad.prompt[100] = kBadToken;
  std::vector<int64_t> healthy;
  for (const Request& request : requests_) {
    const auto id = static_cast<int64_t>(request.id);
    bool meets_bad_token = std::count(request.prompt.begin(), request.prompt.end(), kBadToken) > 0;
    for (const std::vector<Generated>& generated : alone_[id]) {
      meets_bad_token |= std::any_of(generated.begin(), generated.end(), [](const Generated& g) {
        return g.first == kBadToken;
      });
    }
    if (!meets_bad_token) {
      healthy.push_back(id);
    }
  }
  ASSERT_GT(healthy.size(), 5U);
  model_->Add(bad);
  for (const Request& request : requests_) {
    model_->Add(request);
  }
  const Answers answers = model_->Finish();
  EXPECT_EQ(model_->ends().at(kBadId), FinishReason::kFailed);
  for (const int64_t id : healthy) {
    EXPECT_EQ(answers.at(id), alone_[id]);
    EXPECT_LE(model_->ends().at(id), FinishReason::kLength);
  }
  // Of its prompt, the block before the bad token was computed by steps of its own.
  const int64_t cached_before = counts().total_cached_tokens;
  model_->Add(bad);
  model_->Finish();
  EXPECT_EQ(model_->ends().at(kBadId), FinishReason::kFailed);
  EXPECT_LE(counts().total_cached_tokens - cached_before, 64);
}

INSTANTIATE_TEST_SUITE_P(Goldens,
                         SameTokensTest,
                         testing::Combine(testing::ValuesIn(kGoldens),
                                          testing::Values(DType::kF32, DType::kBf16)),
                         [](const auto& test_case) {
                           std::string name =
                               std::get<0>(test_case.param) +
                               (std::get<1>(test_case.param) == DType::kF32 ? "_f32_cache"
                                                                            : "_bf16_cache");
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace hadal
