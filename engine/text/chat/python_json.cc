#include "engine/text/chat/python_json.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <string_view>

#include <absl/strings/str_format.h>

namespace hadal {
namespace {

void AppendString(std::string_view text, std::string& out) {
  out.push_back('"');
  for (const char c : text) {
    switch (c) {
      case '"':
        out.append("\\\"");
        break;
      case '\\':
        out.append("\\\\");
        break;
      case '\n':
        out.append("\\n");
        break;
      case '\r':
        out.append("\\r");
        break;
      case '\t':
        out.append("\\t");
        break;
      case '\b':
        out.append("\\b");
        break;
      case '\f':
        out.append("\\f");
        break;
      default:
        if (static_cast<uint8_t>(c) < 0x20) {
          absl::StrAppendFormat(&out, "\\u%04x", static_cast<uint8_t>(c));
        } else {
          out.push_back(c);
        }
    }
  }
  out.push_back('"');
}

// Python's repr: the shortest digits that read back the same, with an exponent only below 1e-4 and
// from 1e16 on, and always a sign that it is a float.
void AppendDouble(double number, std::string& out) {
  const double magnitude = std::abs(number);
  const bool scientific = magnitude != 0 && (magnitude < 1e-4 || magnitude >= 1e16);
  std::array<char, 64> digits = {};
  const auto result =
      std::to_chars(digits.data(),
                    digits.data() + digits.size(),
                    number,
                    scientific ? std::chars_format::scientific : std::chars_format::fixed);
  const std::string_view text(digits.data(), static_cast<size_t>(result.ptr - digits.data()));
  out.append(text);
  if (!scientific && text.find('.') == std::string_view::npos) {
    out.append(".0");
  }
}

void Append(const boost::json::value& value, std::string& out) {
  switch (value.kind()) {
    case boost::json::kind::null:
      out.append("null");
      break;
    case boost::json::kind::bool_:
      out.append(value.get_bool() ? "true" : "false");
      break;
    case boost::json::kind::int64:
      absl::StrAppendFormat(&out, "%d", value.get_int64());
      break;
    case boost::json::kind::uint64:
      absl::StrAppendFormat(&out, "%d", value.get_uint64());
      break;
    case boost::json::kind::double_:
      AppendDouble(value.get_double(), out);
      break;
    case boost::json::kind::string:
      AppendString({value.get_string().data(), value.get_string().size()}, out);
      break;
    case boost::json::kind::array: {
      std::string_view separator = "[";
      for (const boost::json::value& item : value.get_array()) {
        out.append(separator);
        Append(item, out);
        separator = ", ";
      }
      out.append(value.get_array().empty() ? "[]" : "]");
      break;
    }
    case boost::json::kind::object: {
      std::string_view separator = "{";
      for (const auto& [key, member] : value.get_object()) {
        out.append(separator);
        AppendString({key.data(), key.size()}, out);
        out.append(": ");
        Append(member, out);
        separator = ", ";
      }
      out.append(value.get_object().empty() ? "{}" : "}");
      break;
    }
  }
}

}  // namespace

std::string ToPythonJson(const boost::json::value& value) {
  std::string text;
  Append(value, text);
  return text;
}

}  // namespace hadal
