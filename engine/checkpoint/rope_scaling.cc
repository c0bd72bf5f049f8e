#include "engine/checkpoint/rope_scaling.h"

#include <string>
#include <string_view>

#include "base/json_fields.h"

namespace hadal {
namespace {

constexpr double kDefaultTheta = 10000;
constexpr FieldRange<double> kThetaRange = {1, 1e12};
constexpr FieldRange<double> kFactorRange = {1, 1e6};
constexpr FieldRange<double> kBetaRange = {1e-3, 1e6};
constexpr FieldRange<double> kMscaleRange = {0, 1e3};
constexpr FieldRange<int64_t> kPositionRange = {1, int64_t{1} << 28};

absl::StatusOr<std::optional<double>> OptionalNumber(const JsonFields& fields,
                                                     std::string_view key,
                                                     FieldRange<double> range) {
  if (fields.Find(key) == nullptr) {
    return std::nullopt;
  }
  ASSIGN_OR_RETURN(const double value, fields.Number(key, range));
  return value;
}

// `type` and `rope_type` are two spellings of one key; a file may hold both.
absl::StatusOr<std::string_view> ParseRopeType(const JsonFields& fields) {
  ASSIGN_OR_RETURN(const std::string_view old_spelling, fields.StringOr("type", ""));
  ASSIGN_OR_RETURN(const std::string_view type, fields.StringOr("rope_type", old_spelling));
  if (!old_spelling.empty() && type != old_spelling) {
    return fields.Unexpected("rope_type", "the same as \"type\"");
  }
  const std::string_view key = fields.Find("rope_type") == nullptr ? "type" : "rope_type";
  if (type.empty()) {
    return fields.Unexpected(key, "\"yarn\" or \"default\"");
  }
  if (type != "yarn" && type != "default") {
    return fields.Unsupported(key, "\"yarn\" or \"default\"");
  }
  return type;
}

absl::StatusOr<YarnScaling> ParseYarn(const JsonFields& fields) {
  YarnScaling yarn;
  ASSIGN_OR_RETURN(yarn.factor, fields.Number("factor", kFactorRange));
  ASSIGN_OR_RETURN(yarn.original_max_position_embeddings,
                   fields.Int("original_max_position_embeddings", kPositionRange));
  ASSIGN_OR_RETURN(yarn.beta_fast, fields.NumberOr("beta_fast", kBetaRange, yarn.beta_fast));
  ASSIGN_OR_RETURN(yarn.beta_slow, fields.NumberOr("beta_slow", kBetaRange, yarn.beta_slow));
  if (yarn.beta_fast < yarn.beta_slow) {
    return fields.Unexpected("beta_fast", "at least \"beta_slow\"");
  }
  ASSIGN_OR_RETURN(yarn.mscale, OptionalNumber(fields, "mscale", kMscaleRange));
  ASSIGN_OR_RETURN(yarn.mscale_all_dim, OptionalNumber(fields, "mscale_all_dim", kMscaleRange));
  ASSIGN_OR_RETURN(yarn.attention_factor, OptionalNumber(fields, "attention_factor", kMscaleRange));
  ASSIGN_OR_RETURN(yarn.truncate, fields.BoolOr("truncate", true));
  return yarn;
}

// The scaling that `rope_scaling` or `rope_parameters` describes.
absl::StatusOr<std::optional<YarnScaling>> ParseScaling(const JsonFields& fields) {
  RETURN_IF_ERROR(fields.CheckKnownKeys({"type",
                                         "rope_type",
                                         "rope_theta",
                                         "factor",
                                         "original_max_position_embeddings",
                                         "beta_fast",
                                         "beta_slow",
                                         "mscale",
                                         "mscale_all_dim",
                                         "attention_factor",
                                         "truncate",
                                         "partial_rotary_factor"}));
  ASSIGN_OR_RETURN(const double partial, fields.NumberOr("partial_rotary_factor", {0, 1}, 1));
  if (partial != 1) {
    return fields.Unsupported("partial_rotary_factor", "1");
  }
  ASSIGN_OR_RETURN(const std::string_view type, ParseRopeType(fields));
  if (type == "default") {
    return std::nullopt;
  }
  ASSIGN_OR_RETURN(const YarnScaling yarn, ParseYarn(fields));
  return yarn;
}

}  // namespace

absl::StatusOr<RopeConfig> ParseRopeConfig(const boost::json::object& config) {
  const JsonFields top(config, "");
  RopeConfig rope;
  ASSIGN_OR_RETURN(rope.theta, top.NumberOr("rope_theta", kThetaRange, kDefaultTheta));
  ASSIGN_OR_RETURN(const boost::json::object* const old_keys, top.ObjectOrNull("rope_scaling"));
  if (old_keys != nullptr) {
    ASSIGN_OR_RETURN(rope.scaling, ParseScaling(JsonFields(*old_keys, "rope_scaling")));
  }
  ASSIGN_OR_RETURN(const boost::json::object* const new_keys, top.ObjectOrNull("rope_parameters"));
  if (new_keys == nullptr) {
    return rope;
  }

  const JsonFields fields(*new_keys, "rope_parameters");
  RopeConfig renewed;
  ASSIGN_OR_RETURN(renewed.theta, fields.NumberOr("rope_theta", kThetaRange, rope.theta));
  ASSIGN_OR_RETURN(renewed.scaling, ParseScaling(fields));
  if (top.Find("rope_theta") != nullptr && rope.theta != renewed.theta) {
    return fields.Unexpected("rope_theta", "the same as the top-level \"rope_theta\"");
  }
  if (old_keys != nullptr && rope.scaling != renewed.scaling) {
    return top.Unexpected("rope_parameters", "the same scaling as in \"rope_scaling\"");
  }
  return renewed;
}

}  // namespace hadal
