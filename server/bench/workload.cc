#include "server/bench/workload.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <utility>

#include <boost/json/array.hpp>

#include "base/check.h"
#include "base/json.h"
#include "base/json_fields.h"
#include "base/mapped_file.h"

namespace hadal {
namespace {

constexpr size_t kMaxFileBytes = size_t{256} << 20U;
constexpr int64_t kMaxTokens = int64_t{1} << 30U;
constexpr int64_t kMaxOutputTokens = 100'000'000;  // 8 bytes each

// Numbers of the generators that are no request's.
constexpr uint64_t kPrefixStream = ~uint64_t{0};
constexpr uint64_t kArrivalStream = ~uint64_t{1};

// Independent numbers for each pair of seed and stream (the seed sequence mixes them).
std::mt19937_64 MakeRandom(uint64_t seed, uint64_t stream) {
  std::seed_seq sequence{static_cast<uint32_t>(seed),
                         static_cast<uint32_t>(seed >> 32U),
                         static_cast<uint32_t>(stream),
                         static_cast<uint32_t>(stream >> 32U)};
  return std::mt19937_64(sequence);
}

// Appends random ids until `tokens` has `count`.
void FillWithRandomIds(std::mt19937_64& random,
                       int64_t vocab_size,
                       int64_t count,
                       std::vector<TokenId>& tokens) {
  while (std::ssize(tokens) < count) {
    tokens.push_back(static_cast<TokenId>(random() % static_cast<uint64_t>(vocab_size)));
  }
}

absl::StatusOr<RequestLength> ParseRequestLength(const boost::json::value& json,
                                                 const std::string& path) {
  ASSIGN_OR_RETURN(const JsonFields fields, JsonFields::Of(json, path, path));
  ASSIGN_OR_RETURN(const int64_t prompt_tokens, fields.Int("prompt_tokens", {1, kMaxTokens}));
  ASSIGN_OR_RETURN(const int64_t output_tokens, fields.Int("output_tokens", {1, kMaxTokens}));
  return RequestLength{.prompt_tokens = prompt_tokens, .output_tokens = output_tokens};
}

absl::StatusOr<std::vector<RequestLength>> ParseArray(std::string_view text) {
  ASSIGN_OR_RETURN(const boost::json::value json, ParseJson(text));
  ASSIGN_OR_RETURN(const boost::json::array* const array, ReadArray(json, ""));
  std::vector<RequestLength> lengths;
  for (const boost::json::value& item : *array) {
    ASSIGN_OR_RETURN(const RequestLength length,
                     ParseRequestLength(item, PathOfItem("", lengths.size())));
    lengths.push_back(length);
  }
  return lengths;
}

absl::StatusOr<std::vector<RequestLength>> ParseLines(std::string_view text) {
  std::vector<RequestLength> lengths;
  for (int64_t number = 1; !text.empty(); ++number) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) {
      continue;
    }
    const std::string path = absl::StrFormat("line %d", number);
    const absl::StatusOr<boost::json::value> json = ParseJson(line);
    if (!json.ok()) {
      return Annotate(json.status(), path);
    }
    ASSIGN_OR_RETURN(const RequestLength length, ParseRequestLength(*json, path));
    lengths.push_back(length);
  }
  return lengths;
}

}  // namespace

absl::StatusOr<std::vector<RequestLength>> ParseRequestLengths(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  const bool is_array = first != std::string_view::npos && text[first] == '[';
  ASSIGN_OR_RETURN(std::vector<RequestLength> lengths,
                   is_array ? ParseArray(text) : ParseLines(text));
  if (lengths.empty()) {
    return InvalidArgument("no requests are listed");
  }
  return lengths;
}

absl::StatusOr<std::vector<RequestLength>> ReadRequestLengths(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path, kMaxFileBytes));
  absl::StatusOr<std::vector<RequestLength>> lengths = ParseRequestLengths(text);
  if (!lengths.ok()) {
    return Annotate(lengths.status(), path);
  }
  return lengths;
}

absl::Status CheckRequestLengths(std::span<const RequestLength> lengths, int64_t context_tokens) {
  int64_t output_tokens = 0;
  for (size_t i = 0; i < lengths.size(); ++i) {
    const auto& [prompt, output] = lengths[i];
    if (prompt > context_tokens || output > context_tokens - prompt) {
      return InvalidArgument(
          "request %d: a prompt of %d tokens and %d more do not fit the model's context of %d",
          i,
          prompt,
          output,
          context_tokens);
    }
    output_tokens += output;
    if (output_tokens > kMaxOutputTokens) {
      return InvalidArgument("the requests ask for more than %d tokens together", kMaxOutputTokens);
    }
  }
  return absl::OkStatus();
}

Workload::Workload(Args args) : args_(std::move(args)) {
  CHECK(!args_.lengths.empty());
  CHECK(args_.prompts.empty() || args_.prompts.size() == args_.lengths.size());
  CHECK(args_.shared_prefix >= 0 && args_.shared_prefix <= 1);
  int64_t longest = 0;
  for (const RequestLength& length : args_.lengths) {
    longest = std::max(longest, length.prompt_tokens);
  }
  if (args_.shared_prefix > 0) {
    std::mt19937_64 random = MakeRandom(args_.seed, kPrefixStream);
    FillWithRandomIds(random, args_.vocab_size, longest, prefix_);
  }
  if (args_.rate.has_value()) {
    std::mt19937_64 random = MakeRandom(args_.seed, kArrivalStream);
    std::exponential_distribution<double> gap(*args_.rate);
    std::chrono::duration<double> arrival{};
    for (int64_t i = 0; i < num_requests(); ++i) {
      arrival += std::chrono::duration<double>(gap(random));
      arrivals_.push_back(std::chrono::duration_cast<Duration>(arrival));
    }
  }
}

Request Workload::MakeRequest(int64_t i) const {
  const RequestLength& length = args_.lengths.at(static_cast<size_t>(i));
  const int64_t num_shared =
      std::llround(args_.shared_prefix * static_cast<double>(length.prompt_tokens));
  std::mt19937_64 random = MakeRandom(args_.seed, static_cast<uint64_t>(i));
  Request request;
  request.id = RequestId{i};
  if (args_.prompts.empty()) {
    request.prompt.reserve(static_cast<size_t>(length.prompt_tokens));
    if (num_shared > 0) {
      request.prompt.assign(prefix_.begin(), prefix_.begin() + num_shared);
    }
    FillWithRandomIds(random, args_.vocab_size, length.prompt_tokens, request.prompt);
  } else {
    request.prompt = args_.prompts[static_cast<size_t>(i)];
  }
  request.stop_token_ids = args_.stop_token_ids;
  request.sampling.temperature = args_.temperature;
  request.sampling.seed = random();
  request.max_new_tokens = length.output_tokens;
  return request;
}

Duration Workload::ArrivalOf(int64_t i) const {
  return arrivals_.empty() ? Duration::zero() : arrivals_.at(static_cast<size_t>(i));
}

int64_t Workload::total_prompt_tokens() const {
  int64_t total = 0;
  for (const RequestLength& length : args_.lengths) {
    total += length.prompt_tokens;
  }
  return total;
}

int64_t Workload::max_request_tokens() const {
  int64_t most = 0;
  for (const RequestLength& length : args_.lengths) {
    most = std::max(most, length.prompt_tokens + length.output_tokens);
  }
  return most;
}

}  // namespace hadal
