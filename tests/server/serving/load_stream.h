#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace hadal {

/// How a request of a load ended.
enum class LoadEnd : int8_t {
  kDone,        // the stream said so
  kErrorEvent,  // its last event was an error
  kRefused,     // a status other than 200
  kAborted,     // by the load
  kBroken,      // anything else: no connection, half a response
};

/// One streamed answer as its client sees it, fed with the bytes of the connection as they come.
class LoadStream {
 public:
  explicit LoadStream(TimePoint start) : start_(start) {}

  /// Takes what was read at `now`.
  void Take(std::string_view bytes, TimePoint now);

  /// The connection has ended.
  [[nodiscard]] LoadEnd End() const;

  [[nodiscard]] TimePoint start() const { return start_; }
  [[nodiscard]] int32_t status() const { return status_; }
  [[nodiscard]] std::optional<int64_t> retry_after_s() const { return retry_after_s_; }
  /// Events with a part of an answer.
  [[nodiscard]] int64_t num_events() const { return num_events_; }
  /// When the status line came, the first and the latest event.
  [[nodiscard]] TimePoint head_time() const { return head_time_; }
  [[nodiscard]] TimePoint first_event_time() const { return first_event_time_; }
  [[nodiscard]] TimePoint last_event_time() const { return last_event_time_; }

 private:
  void TakeLine(std::string_view line, TimePoint now);

  TimePoint start_;
  TimePoint head_time_{};
  TimePoint first_event_time_{};
  TimePoint last_event_time_{};
  int32_t status_ = 0;
  int64_t num_events_ = 0;
  std::optional<int64_t> retry_after_s_;
  bool done_ = false;
  bool has_error_event_ = false;
  std::string line_;  // its beginning
};

}  // namespace hadal
