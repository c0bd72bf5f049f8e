#include <algorithm>
#include <cmath>
#include <cstdio>
#include <optional>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "base/mapped_file.h"
#include "engine/sample/logprobs.h"
#include "kernels/kernel_registry.h"
#include "server/cli/commands.h"
#include "server/cli/exit_code.h"
#include "server/cli/json_output.h"
#include "server/cli/model/loaded_model.h"
#include "server/cli/model/text_model.h"

namespace hadal {
namespace {

absl::StatusOr<std::vector<TokenId>> ReadTokens(const ScoreOptions& options,
                                                const std::optional<TextModel>& text_model) {
  if (!text_model.has_value()) {
    return ReadIdsFile(options.ids_file);
  }
  ASSIGN_OR_RETURN(const std::string text, ReadTextFile(options.text_file, kMaxInputFileBytes));
  return text_model->EncodeText(text);
}

// log p(ids[i] | ids[0..i)), for i >= 1. Logits are made for a few rows at a time: a whole step's
// would need num_tokens * vocab_size floats.
absl::StatusOr<std::vector<double>> ScoreTokens(LoadedModel& loaded,
                                                const std::vector<TokenId>& ids) {
  constexpr int64_t kRows = 32;
  ASSIGN_OR_RETURN(SequenceRunner sequence, loaded.NewSequenceRunner(std::ssize(ids)));
  const int64_t vocab_size = loaded.config().vocab_size;
  std::vector<float> buffer(static_cast<size_t>(kRows * vocab_size));
  std::vector<double> logprobs;
  sequence.Append(ids, [&](int64_t first, const TensorView<const float, 2>& hidden) {
    const int64_t last = std::min(hidden.extent(0), std::ssize(ids) - 1 - first);
    for (int64_t begin = 0; begin < last; begin += kRows) {
      const int64_t count = std::min(kRows, last - begin);
      const TensorView<float, 2> logits = MakeView(buffer.data(), count, vocab_size);
      loaded.model().FetchLogits(hidden.Slice(begin, count), loaded.context(), logits);
      for (int64_t i = 0; i < count; ++i) {
        const TokenId target = ids[static_cast<size_t>(first + begin + i + 1)];
        logprobs.push_back(double{logits(i, target)} - LogSumExp(logits.Row(i)));
      }
    }
  });
  return logprobs;
}

void PrintText(const std::vector<TokenId>& ids,
               const std::vector<double>& logprobs,
               double perplexity,
               const std::optional<TextModel>& text_model) {
  for (size_t i = 0; i < ids.size(); ++i) {
    std::printf("%8d ", ids[i]);
    if (i == 0) {
      std::printf("%10s", "-");
    } else {
      std::printf("%10.4f", logprobs[i - 1]);
    }
    if (text_model.has_value()) {
      std::printf("  %s", QuotedPiece(text_model->tokenizer(), ids[i]).c_str());
    }
    std::printf("\n");
  }
  std::printf("perplexity %.4f over %zu tokens\n", perplexity, logprobs.size());
}

void PrintAsJson(const std::vector<TokenId>& ids,
                 const std::vector<double>& logprobs,
                 double perplexity) {
  boost::json::array values = {nullptr};
  for (const double logprob : logprobs) {
    values.push_back(JsonNumber(logprob));
  }
  PrintJson(boost::json::object{{"ids", boost::json::array(ids.begin(), ids.end())},
                                {"logprobs", std::move(values)},
                                {"perplexity", JsonNumber(perplexity)}});
}

}  // namespace

absl::Status RunCommand(const ScoreOptions& options) {
  ASSIGN_OR_RETURN(const ModelConfig config, CheckpointFault(ReadModelConfig(options.model.model)));
  ASSIGN_OR_RETURN(const KernelTable kernels, BuildKernelTable(options.model.kernels));
  std::optional<TextModel> text_model;
  if (options.ids_file.empty()) {
    ASSIGN_OR_RETURN(text_model, TextModel::Open(options.model.model));
  }
  ASSIGN_OR_RETURN(const std::vector<TokenId> ids, ReadTokens(options, text_model));
  RETURN_IF_ERROR(CheckPrompt(config, ids));
  ASSIGN_OR_RETURN(const std::unique_ptr<LoadedModel> loaded,
                   LoadedModel::Load(options.model, kernels));
  ASSIGN_OR_RETURN(const std::vector<double> logprobs, ScoreTokens(*loaded, ids));
  double sum = 0;
  for (const double logprob : logprobs) {
    sum += logprob;
  }
  const double perplexity =
      logprobs.empty() ? 1.0 : std::exp(-sum / static_cast<double>(logprobs.size()));
  if (options.format == OutputFormat::kJson) {
    PrintAsJson(ids, logprobs, perplexity);
  } else {
    PrintText(ids, logprobs, perplexity, text_model);
  }
  return absl::OkStatus();
}

}  // namespace hadal
