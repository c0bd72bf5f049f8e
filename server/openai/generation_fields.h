#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <boost/json/value.hpp>

#include "base/json_fields.h"
#include "base/status.h"
#include "server/generation/generation_params.h"
#include "server/openai/requests.h"

namespace hadal {

/// The fields of GenerationParams that chat and text completions read alike: all but max_tokens,
/// logprobs and parallel_tool_calls. InvalidArgument or Unimplemented, naming the field.
absl::StatusOr<GenerationParams> ReadGenerationParams(const JsonFields& body,
                                                      const GenerationLimits& limits);

/// The bounds of `max_tokens` and its like: what a count of tokens can be at all.
inline constexpr FieldRange<int64_t> kTokenCounts = {1, 2147483647};

/// InvalidArgument when no answer can have as few tokens as `max_tokens` says and as many as
/// `min_tokens`.
absl::Status CheckTokenCounts(const GenerationParams& params);

/// `stream` and `stream_options`.
absl::StatusOr<Delivery> ReadDelivery(const JsonFields& body);

/// `model`, empty when it is absent.
absl::StatusOr<std::string> ReadModel(const JsonFields& body, const GenerationLimits& limits);

/// The items of `list` as token ids, none negative; `path` names the list.
absl::StatusOr<std::vector<TokenId>> ReadTokenIds(const boost::json::array& list,
                                                  std::string_view path);

}  // namespace hadal
