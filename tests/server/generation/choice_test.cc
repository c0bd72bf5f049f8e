#include "server/generation/choice.h"

#include <random>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/check.h"
#include "engine/text/chat/prompt_tokens.h"
#include "tests/server/generation/test_model.h"

namespace hadal {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// What a choice came to, put together.
struct Result {
  Answer answer;
  std::vector<ContentLogprob> logprobs;
  std::optional<FinishReason> finish;
  int64_t num_tokens = 0;

  [[nodiscard]] std::string LogprobText() const {
    std::string text;
    for (const ContentLogprob& logprob : logprobs) {
      text += logprob.chosen.bytes;
    }
    return text;
  }
};

class ChoiceTest : public testing::Test {
 protected:
  ChoiceTest() { params_.sampling.num_logprobs = 0; }

  Choice Make(ChatFormat format, AnswerKind kind, PromptState state) {
    model_.emplace(MakeTestModel(format, 4096));
    auto choice =
        Choice::Create({.model = *model_, .kind = kind, .state = state, .params = params_});
    CHECK(choice.ok());
    return *std::move(choice);
  }

  // Pushes until the tokens or the choice end.
  static Result Run(Choice& choice, const std::vector<TokenId>& tokens, FinishReason reason) {
    Result result;
    const auto add = [&result](const ChoiceDelta& delta) {
      EXPECT_FALSE(result.finish.has_value());
      for (const AnswerDelta& part : delta.parts) {
        AppendDelta(part, result.answer);
      }
      result.logprobs.insert(result.logprobs.end(), delta.logprobs.begin(), delta.logprobs.end());
      result.finish = delta.finish;
    };
    for (const TokenId token : tokens) {
      ChoiceDelta delta;
      const bool ended = choice.Push({.token = token, .logprob = -0.5F}, delta);
      add(delta);
      EXPECT_EQ(ended, choice.ended());
      if (ended) {
        result.num_tokens = choice.num_tokens();
        return result;
      }
    }
    ChoiceDelta delta;
    choice.Finish(reason, delta);
    add(delta);
    result.num_tokens = choice.num_tokens();
    return result;
  }

  Result RunText(const std::vector<TokenId>& tokens) {
    Choice choice = Make(ChatFormat::kV3, AnswerKind::kText, PromptState::kContent);
    return Run(choice, tokens, FinishReason::kLength);
  }

  GenerationParams params_;
  std::optional<ServedModel> model_;
};

TEST_F(ChoiceTest, TextIsThatOfTheTokens) {
  const std::string text = "Grüße, 世界! \U0001F600 fin";
  const Result result = RunText(TokensOf(text));
  EXPECT_EQ(result.answer.content, text);
  EXPECT_EQ(result.LogprobText(), text);
  EXPECT_EQ(result.finish, FinishReason::kLength);
  EXPECT_EQ(result.num_tokens, std::ssize(TokensOf(text)));
}

TEST_F(ChoiceTest, TheEndTokenHasNoTextAndNoLogprob) {
  params_.stop_token_ids = {TokensOf("!").front()};
  std::vector<TokenId> tokens = TokensOf("stop here");
  tokens.push_back(TokensOf("!").front());
  const Result result = RunText(tokens);
  EXPECT_EQ(result.answer.content, "stop here");
  EXPECT_EQ(result.LogprobText(), "stop here");
  EXPECT_EQ(result.num_tokens, std::ssize(tokens)) << "but it was generated";
}

TEST_F(ChoiceTest, AStopStringEndsTextAndLogprobsBeforeItWhereverItIsCut) {
  params_.stop = {"lo, wor", "never"};
  const Result result = RunText(TokensOf("hello, world and more"));
  EXPECT_EQ(result.answer.content, "hel");
  EXPECT_EQ(result.finish, FinishReason::kStop);
  // "hello" is one token whose text began before the stop string; ", world" is not there.
  EXPECT_EQ(result.LogprobText(), "hello");
}

TEST_F(ChoiceTest, TextHeldForAStopStringIsGivenOutAtTheEnd) {
  params_.stop = {"world peace"};
  const Result result = RunText(TokensOf("hello world"));
  EXPECT_EQ(result.answer.content, "hello world");
  EXPECT_EQ(result.LogprobText(), "hello world");
  EXPECT_EQ(result.finish, FinishReason::kLength);
}

TEST_F(ChoiceTest, StopStringsAreNotLookedForWithinMinTokens) {
  params_.stop = {"one"};
  params_.min_tokens = 2;
  const Result result = RunText(TokensOf("one two one three"));
  EXPECT_EQ(result.answer.content, "one two ");
  EXPECT_EQ(result.finish, FinishReason::kStop);
}

TEST_F(ChoiceTest, ReasoningIsApartAndHasNoLogprobsNorStops) {
  params_.stop = {"think"};
  Choice choice = Make(ChatFormat::kR1, AnswerKind::kChat, PromptState::kReasoning);
  std::vector<TokenId> tokens = TokensOf("I think so\n");
  tokens.push_back(IdOfAdded(kThinkEnd));
  for (const TokenId token : TokensOf("\n\nYes, I think.")) {
    tokens.push_back(token);
  }
  const Result result = Run(choice, tokens, FinishReason::kStop);
  EXPECT_EQ(result.answer.reasoning_content, "I think so");
  EXPECT_EQ(result.answer.content, "Yes, I ");
  // " think" began before the stop string; dropped line breaks have no entry.
  EXPECT_EQ(result.LogprobText(), "Yes, I think");
  EXPECT_EQ(result.finish, FinishReason::kStop);
}

TEST_F(ChoiceTest, OneToolCallIsEnoughUnlessMoreAreAllowed) {
  params_.parallel_tool_calls = false;
  Choice choice = Make(ChatFormat::kV31, AnswerKind::kChat, PromptState::kContent);
  std::vector<TokenId> tokens = {IdOfAdded(kToolCallsBegin)};
  for (int i = 0; i < 2; ++i) {
    tokens.push_back(IdOfAdded(kToolCallBeginToken));
    for (const TokenId token : TokensOf("look_up")) {
      tokens.push_back(token);
    }
    tokens.push_back(IdOfAdded(kToolSeparator));
    for (const TokenId token : TokensOf(R"({"a": 1})")) {
      tokens.push_back(token);
    }
    tokens.push_back(IdOfAdded(kToolCallEndToken));
  }
  const Result result = Run(choice, tokens, FinishReason::kLength);
  ASSERT_EQ(result.answer.tool_calls.size(), 1U);
  EXPECT_EQ(result.answer.tool_calls[0].name, "look_up");
  EXPECT_EQ(result.answer.tool_calls[0].arguments, R"({"a": 1})");
  EXPECT_EQ(result.finish, FinishReason::kStop);
  EXPECT_THAT(result.logprobs, IsEmpty());
}

TEST_F(ChoiceTest, AnotherTurnsBeginningEndsAChatUnlessEosIsIgnored) {
  const ServedModel model = MakeTestModel(ChatFormat::kV3, 4096);
  const auto chat_ends = EndTokenIds(model, AnswerKind::kChat, params_);
  EXPECT_THAT(chat_ends, testing::Contains(IdOfAdded(kUserToken)));
  EXPECT_THAT(chat_ends, testing::Contains(IdOfAdded(kEndOfSentence)));
  EXPECT_THAT(EndTokenIds(model, AnswerKind::kText, params_),
              ElementsAre(IdOfAdded(kEndOfSentence)));
  params_.ignore_eos = true;
  params_.stop_token_ids = {5, 5};
  EXPECT_THAT(EndTokenIds(model, AnswerKind::kChat, params_), ElementsAre(5));
}

// However tokens cut characters and stop strings: text before the stop, logprobs of that text.
TEST_F(ChoiceTest, AnyTokensGiveTheTextBeforeTheFirstStop) {
  std::mt19937 random(7);
  std::uniform_int_distribution<TokenId> any(3, 100'000);
  for (int round = 0; round < 200; ++round) {
    std::vector<TokenId> tokens(20);
    for (TokenId& token : tokens) {
      token = any(random);
    }
    params_.stop.clear();
    const Result whole = RunText(tokens);
    ASSERT_EQ(whole.answer.content, Decode(TestTokenizer(), tokens, SpecialTokens::kHide));
    ASSERT_EQ(whole.logprobs.size(), tokens.size());
    const size_t place = whole.answer.content.size() / 2;
    params_.stop = {whole.answer.content.substr(place, 5)};
    const size_t first = whole.answer.content.find(params_.stop[0]);
    const Result stopped = RunText(tokens);
    ASSERT_EQ(stopped.answer.content, whole.answer.content.substr(0, first)) << "round " << round;
    ASSERT_EQ(stopped.finish, FinishReason::kStop);
    ASSERT_LE(stopped.logprobs.size(), static_cast<size_t>(stopped.num_tokens));
  }
}

}  // namespace
}  // namespace hadal
