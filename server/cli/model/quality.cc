#include "server/cli/model/quality.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>

#include "engine/sample/logprobs.h"

namespace hadal {
namespace {

constexpr int64_t kRows = 32;  // whose logits are made at a time

// The last hidden states of `tokens`, [tokens.size(), hidden_size], where the model's lie.
absl::StatusOr<DeviceBuffer> HiddenStates(std::span<const TokenId> tokens, LoadedModel& loaded) {
  ASSIGN_OR_RETURN(SequenceRunner sequence, loaded.NewSequenceRunner(std::ssize(tokens)));
  const auto row_bytes = static_cast<size_t>(loaded.config().hidden_size) * sizeof(float);
  ASSIGN_OR_RETURN(DeviceBuffer hidden,
                   DeviceBuffer::Allocate(loaded.device(), tokens.size() * row_bytes));
  sequence.Append(tokens, [&](int64_t first, const TensorView<const float, 2>& rows) {
    loaded.device().copy(
        static_cast<std::byte*>(hidden.data()) + static_cast<size_t>(first) * row_bytes,
        rows.data,
        static_cast<size_t>(rows.extent(0)) * row_bytes);
  });
  return hidden;
}

struct Sums {
  int64_t num_tokens = 0;
  double expected_logprob = 0;
  double logprob = 0;
  double squared_error = 0;  // mean over the vocabulary
  double divergence = 0;
};

void AddPlace(std::span<const float> expected,
              std::span<const float> actual,
              TokenId next,
              Sums& sums) {
  const double expected_log_sum = LogSumExp(expected);
  const double log_sum = LogSumExp(actual);
  double squared_error = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    const double error = double{actual[i]} - double{expected[i]};
    const double logprob = double{expected[i]} - expected_log_sum;
    squared_error += error * error;
    sums.divergence += std::exp(logprob) * (logprob - (double{actual[i]} - log_sum));
  }
  const auto token = static_cast<size_t>(next);
  sums.num_tokens += 1;
  sums.expected_logprob += double{expected[token]} - expected_log_sum;
  sums.logprob += double{actual[token]} - log_sum;
  sums.squared_error += squared_error / static_cast<double>(expected.size());
}

absl::Status AddText(const ScoredText& text,
                     LoadedModel& expected,
                     LoadedModel& actual,
                     Sums& sums) {
  const std::vector<TokenId>& tokens = text.tokens;
  ASSIGN_OR_RETURN(const DeviceBuffer expected_hidden, HiddenStates(tokens, expected));
  ASSIGN_OR_RETURN(const DeviceBuffer actual_hidden, HiddenStates(tokens, actual));
  const int64_t hidden_size = expected.config().hidden_size;
  const int64_t vocab_size = expected.config().vocab_size;
  std::vector<float> expected_buffer(static_cast<size_t>(kRows * vocab_size));
  std::vector<float> actual_buffer(expected_buffer.size());
  const int64_t num_places = std::ssize(tokens) - 1;
  for (int64_t begin = text.first_scored - 1; begin < num_places; begin += kRows) {
    const int64_t count = std::min(kRows, num_places - begin);
    const auto logits = [&](LoadedModel& loaded,
                            const DeviceBuffer& hidden,
                            std::vector<float>& buffer) {
      const TensorView<float, 2> rows = MakeView(buffer.data(), count, vocab_size);
      loaded.model().FetchLogits(
          MakeView(
              static_cast<const float*>(hidden.data()) + begin * hidden_size, count, hidden_size),
          loaded.context(),
          rows);
      return rows;
    };
    const TensorView<float, 2> expected_logits = logits(expected, expected_hidden, expected_buffer);
    const TensorView<float, 2> actual_logits = logits(actual, actual_hidden, actual_buffer);
    for (int64_t i = 0; i < count; ++i) {
      AddPlace(expected_logits.Row(i),
               actual_logits.Row(i),
               tokens[static_cast<size_t>(begin + i + 1)],
               sums);
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Quality> MeasureQuality(std::span<const ScoredText> texts,
                                       LoadedModel& expected,
                                       LoadedModel& actual) {
  Sums sums;
  for (const ScoredText& text : texts) {
    RETURN_IF_ERROR(AddText(text, expected, actual, sums));
  }
  if (sums.num_tokens == 0) {
    return Quality();
  }
  const auto count = static_cast<double>(sums.num_tokens);
  return Quality{.num_tokens = sums.num_tokens,
                 .expected_perplexity = std::exp(-sums.expected_logprob / count),
                 .perplexity = std::exp(-sums.logprob / count),
                 .rms_logit_error = std::sqrt(sums.squared_error / count),
                 .mean_divergence = sums.divergence / count};
}

}  // namespace hadal
