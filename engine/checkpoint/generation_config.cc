#include "engine/checkpoint/generation_config.h"

#include <limits>

#include "base/json.h"

namespace hadal {
namespace {

absl::StatusOr<int32_t> TokenIdOf(const boost::json::value& value) {
  const int64_t* number = value.if_int64();
  if (number == nullptr || *number < 0 || *number > std::numeric_limits<int32_t>::max()) {
    return InvalidArgument(
        "generation_config.json: \"eos_token_id\": expected a token id or a list");
  }
  return static_cast<int32_t>(*number);
}

}  // namespace

absl::StatusOr<std::vector<int32_t>> ReadGenerationEosTokenIds(const std::string& dir) {
  constexpr size_t kMaxBytes = size_t{1} << 20U;
  std::vector<int32_t> ids;
  const auto file = ParseJsonFile(dir + "/generation_config.json", kMaxBytes);
  if (absl::IsNotFound(file.status())) {
    return ids;
  }
  RETURN_IF_ERROR(file.status());
  const boost::json::object* object = file->if_object();
  const boost::json::value* eos = object == nullptr ? nullptr : object->if_contains("eos_token_id");
  if (eos == nullptr || eos->is_null()) {
    return ids;
  }
  if (const boost::json::array* list = eos->if_array()) {
    for (const boost::json::value& item : *list) {
      ASSIGN_OR_RETURN(const int32_t id, TokenIdOf(item));
      ids.push_back(id);
    }
    return ids;
  }
  ASSIGN_OR_RETURN(const int32_t id, TokenIdOf(*eos));
  ids.push_back(id);
  return ids;
}

}  // namespace hadal
