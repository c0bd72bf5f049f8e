#include "engine/checkpoint/generation_config.h"

#include <limits>

#include "base/json.h"
#include "base/json_fields.h"

namespace hadal {
namespace {

constexpr FieldRange<int64_t> kIdRange = {0, std::numeric_limits<int32_t>::max()};

absl::StatusOr<std::vector<int32_t>> ParseEosTokenIds(const boost::json::value& json) {
  constexpr std::string_view kKey = "eos_token_id";
  std::vector<int32_t> ids;
  ASSIGN_OR_RETURN(const JsonFields fields, JsonFields::Of(json, "", "the file"));
  const boost::json::value* eos = fields.Find(kKey);
  if (eos == nullptr) {
    return ids;
  }
  if (!eos->is_array()) {
    ASSIGN_OR_RETURN(const int64_t id, fields.Int(kKey, kIdRange));
    ids.push_back(static_cast<int32_t>(id));
    return ids;
  }
  for (const boost::json::value& item : eos->get_array()) {
    const int64_t* id = item.if_int64();
    if (id == nullptr || *id < kIdRange.min || *id > kIdRange.max) {
      return fields.Unexpected(kKey, "a token id or a list of them");
    }
    ids.push_back(static_cast<int32_t>(*id));
  }
  return ids;
}

}  // namespace

absl::StatusOr<std::vector<int32_t>> ReadGenerationEosTokenIds(const std::string& dir) {
  constexpr size_t kMaxBytes = size_t{1} << 20U;
  const std::string path = dir + "/generation_config.json";
  const auto file = ParseJsonFile(path, kMaxBytes);
  if (absl::IsNotFound(file.status())) {
    return std::vector<int32_t>{};
  }
  RETURN_IF_ERROR(file.status());
  absl::StatusOr<std::vector<int32_t>> ids = ParseEosTokenIds(*file);
  return ids.ok() ? ids : Annotate(ids.status(), path);
}

}  // namespace hadal
