#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "scheduler/request.h"

namespace hadal {

/// What a request of a benchmark brings and asks for, in tokens; both at least 1.
struct RequestLength {
  int64_t prompt_tokens = 0;
  int64_t output_tokens = 0;

  friend bool operator==(const RequestLength&, const RequestLength&) = default;
};

/// The lengths that `text` lists: a JSON array of objects with `prompt_tokens` and `output_tokens`,
/// or one such object on each line; other members are ignored. InvalidArgument, naming the value,
/// for anything else and for an empty list.
absl::StatusOr<std::vector<RequestLength>> ParseRequestLengths(std::string_view text);

/// ParseRequestLengths of a file of at most 256 MiB; errors name it.
absl::StatusOr<std::vector<RequestLength>> ReadRequestLengths(const std::string& path);

/// InvalidArgument unless every prompt with its continuation fits `context_tokens`, and all
/// continuations together are few enough for the time of each token to be kept.
absl::Status CheckRequestLengths(std::span<const RequestLength> lengths, int64_t context_tokens);

/// The requests of a benchmark: prompts of random ids, which go on to their full length whatever
/// the model says, or prompts that are given, whose answers may end. A request is made when it is
/// asked for and depends on the arguments and its number alone. Const after construction; any
/// thread.
class Workload {
 public:
  struct Args {
    std::vector<RequestLength> lengths;              // of each request
    std::vector<std::vector<TokenId>> prompts = {};  // of such lengths; none: random ones
    std::vector<TokenId> stop_token_ids = {};        // that end an answer
    int64_t vocab_size = 0;
    double shared_prefix = 0;    // share of each prompt that is common to all, 0 to 1
    float temperature = 0;       // of sampling
    std::optional<double> rate;  // mean arrivals a second; nothing: all at time zero
    uint64_t seed = 0;
  };
  explicit Workload(Args args);

  [[nodiscard]] int64_t num_requests() const { return std::ssize(args_.lengths); }

  /// Request `i`, with id i and without a stream. Of random prompts, the first round(shared_prefix
  /// · prompt_tokens) tokens of its prompt are those of every other prompt, as far as both go.
  [[nodiscard]] Request MakeRequest(int64_t i) const;

  /// When request `i` arrives, from the start on: a Poisson process. Zero without a rate.
  [[nodiscard]] Duration ArrivalOf(int64_t i) const;

  /// Sums over all requests.
  [[nodiscard]] int64_t total_prompt_tokens() const;

  /// The most tokens, prompt and continuation, of one request.
  [[nodiscard]] int64_t max_request_tokens() const;

 private:
  const Args args_;
  std::vector<TokenId> prefix_;     // of the longest prompt
  std::vector<Duration> arrivals_;  // [num_requests], or none
};

}  // namespace hadal
