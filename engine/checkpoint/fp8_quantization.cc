#include "engine/checkpoint/fp8_quantization.h"

#include <string>

#include "base/json_fields.h"

namespace hadal {
namespace {

constexpr int64_t kMaxBlockSize = 1 << 14;

absl::StatusOr<Fp8BlockQuantization> ParseBlockSize(const JsonFields& fields) {
  constexpr std::string_view kKey = "weight_block_size";
  const boost::json::value* value = fields.Find(kKey);
  const auto expected = absl::StrFormat("two integers from 1 to %d", kMaxBlockSize);
  if (value == nullptr || !value->is_array() || value->get_array().size() != 2) {
    return fields.Unexpected(kKey, expected);
  }
  Fp8BlockQuantization blocks;
  for (const auto& [index, size] :
       {std::pair(size_t{0}, &blocks.block_rows), std::pair(size_t{1}, &blocks.block_cols)}) {
    const int64_t* number = value->get_array()[index].if_int64();
    if (number == nullptr || *number < 1 || *number > kMaxBlockSize) {
      return fields.Unexpected(kKey, expected);
    }
    *size = *number;
  }
  return blocks;
}

}  // namespace

absl::StatusOr<std::optional<Fp8BlockQuantization>> ParseFp8Quantization(
    const boost::json::object& config) {
  ASSIGN_OR_RETURN(const boost::json::object* const object,
                   JsonFields(config, "").ObjectOrNull("quantization_config"));
  if (object == nullptr) {
    return std::nullopt;
  }
  const JsonFields fields(*object, "quantization_config");
  ASSIGN_OR_RETURN(const std::string_view method, fields.String("quant_method"));
  if (method != "fp8") {
    return fields.Unsupported("quant_method", "\"fp8\"");
  }
  // modules_to_not_convert needs no reading: each tensor's own dtype says whether it is quantised.
  RETURN_IF_ERROR(fields.CheckKnownKeys({"quant_method",
                                         "fmt",
                                         "activation_scheme",
                                         "scale_fmt",
                                         "weight_block_size",
                                         "modules_to_not_convert",
                                         "dequantize"}));
  ASSIGN_OR_RETURN(const bool dequantize, fields.BoolOr("dequantize", false));
  if (dequantize) {
    return fields.Unsupported("dequantize", "false");
  }
  ASSIGN_OR_RETURN(const std::string_view format, fields.StringOr("fmt", "e4m3"));
  if (format != "e4m3") {
    return fields.Unsupported("fmt", "\"e4m3\"");
  }
  ASSIGN_OR_RETURN(const std::string_view scheme, fields.StringOr("activation_scheme", "dynamic"));
  if (scheme != "dynamic") {
    return fields.Unsupported("activation_scheme", "\"dynamic\"");
  }
  // "ue8m0" promises power-of-two scales, which are stored as f32 all the same.
  ASSIGN_OR_RETURN(const std::string_view scale_format, fields.StringOr("scale_fmt", "float"));
  if (scale_format != "float" && scale_format != "ue8m0") {
    return fields.Unsupported("scale_fmt", "\"ue8m0\" or \"float\"");
  }
  ASSIGN_OR_RETURN(const Fp8BlockQuantization blocks, ParseBlockSize(fields));
  return blocks;
}

}  // namespace hadal
