#include "engine/text/chat/python_json.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <string_view>
#include <utility>

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

// Writes values, either on one line or with each member and item on a line of its own.
class Writer {
 public:
  enum class Layout { kOneLine, kIndented };

  explicit Writer(Layout layout) : layout_(layout) {}

  void Write(const boost::json::value& value) {
    switch (value.kind()) {
      case boost::json::kind::null:
        text_.append("null");
        break;
      case boost::json::kind::bool_:
        text_.append(value.get_bool() ? "true" : "false");
        break;
      case boost::json::kind::int64:
        absl::StrAppendFormat(&text_, "%d", value.get_int64());
        break;
      case boost::json::kind::uint64:
        absl::StrAppendFormat(&text_, "%d", value.get_uint64());
        break;
      case boost::json::kind::double_:
        AppendDouble(value.get_double(), text_);
        break;
      case boost::json::kind::string:
        AppendString({value.get_string().data(), value.get_string().size()}, text_);
        break;
      case boost::json::kind::array:
        Open('[');
        for (const boost::json::value& item : value.get_array()) {
          NextItem();
          Write(item);
        }
        Close(']');
        break;
      case boost::json::kind::object:
        Open('{');
        for (const auto& [key, member] : value.get_object()) {
          NextItem();
          AppendString({key.data(), key.size()}, text_);
          text_.append(": ");
          Write(member);
        }
        Close('}');
        break;
    }
  }

  std::string Take() { return std::move(text_); }

 private:
  void Open(char bracket) {
    text_.push_back(bracket);
    ++depth_;
    is_empty_ = true;
  }

  void NextItem() {
    if (!is_empty_) {
      text_.append(layout_ == Layout::kOneLine ? ", " : ",");
    }
    BreakLine();
    is_empty_ = false;
  }

  void Close(char bracket) {
    --depth_;
    if (!is_empty_) {
      BreakLine();
    }
    text_.push_back(bracket);
    is_empty_ = false;  // what holds this has an item now
  }

  void BreakLine() {
    if (layout_ == Layout::kIndented) {
      text_.push_back('\n');
      text_.append(4 * depth_, ' ');
    }
  }

  Layout layout_;
  size_t depth_ = 0;
  bool is_empty_ = false;  // whether the innermost array or object has nothing in it yet
  std::string text_;
};

}  // namespace

std::string ToPythonJson(const boost::json::value& value) {
  Writer writer(Writer::Layout::kOneLine);
  writer.Write(value);
  return writer.Take();
}

std::string ToIndentedPythonJson(const boost::json::value& value) {
  Writer writer(Writer::Layout::kIndented);
  writer.Write(value);
  return writer.Take();
}

}  // namespace hadal
