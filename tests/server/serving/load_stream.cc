#include "tests/server/serving/load_stream.h"

#include <absl/strings/numbers.h>

namespace hadal {
namespace {

constexpr std::string_view kVersion = "HTTP/1.1 ";
constexpr size_t kStatusDigits = 3;
constexpr std::string_view kRetryAfter = "Retry-After: ";
constexpr std::string_view kEvent = "data: ";

absl::string_view AbslView(std::string_view text) {
  return {text.data(), text.size()};
}

}  // namespace

// Lines of heads, of chunk sizes and of events differ, so that framing need not be known.
void LoadStream::Take(std::string_view bytes, TimePoint now) {
  while (true) {
    const size_t size = bytes.find('\n');
    if (size == std::string_view::npos) {
      line_.append(bytes);
      return;
    }
    if (line_.empty()) {
      TakeLine(bytes.substr(0, size), now);
    } else {
      line_.append(bytes.substr(0, size));
      TakeLine(line_, now);
      line_.clear();
    }
    bytes.remove_prefix(size + 1);
  }
}

void LoadStream::TakeLine(std::string_view line, TimePoint now) {
  if (status_ == 0 && line.starts_with(kVersion)) {
    head_time_ = now;
    if (!absl::SimpleAtoi(AbslView(line.substr(kVersion.size(), kStatusDigits)), &status_)) {
      status_ = -1;
    }
    return;
  }
  if (line.starts_with(kRetryAfter)) {
    line.remove_prefix(kRetryAfter.size());
    int64_t seconds = 0;
    if (absl::SimpleAtoi(AbslView(line.substr(0, line.find('\r'))), &seconds)) {
      retry_after_s_ = seconds;
    }
    return;
  }
  if (!line.starts_with(kEvent)) {
    return;
  }
  line.remove_prefix(kEvent.size());
  if (line.starts_with("[DONE]")) {
    done_ = true;
  } else if (line.starts_with(R"({"error":)")) {
    has_error_event_ = true;
  } else {
    if (num_events_++ == 0) {
      first_event_time_ = now;
    }
    last_event_time_ = now;
  }
}

LoadEnd LoadStream::End() const {
  if (status_ > 0 && status_ != 200) {
    return LoadEnd::kRefused;
  }
  if (has_error_event_) {
    return LoadEnd::kErrorEvent;
  }
  return done_ ? LoadEnd::kDone : LoadEnd::kBroken;
}

}  // namespace hadal
