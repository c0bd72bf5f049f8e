#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/status.h"
#include "server/http/http_message.h"

namespace hadal {

/// Wakes who waits in Exchange::Wait. Any thread; never blocks; calls are cheap and many in a row
/// wake once. May outlive the exchange, and does nothing then.
class Waker {
 public:
  virtual ~Waker() = default;
  virtual void Notify() = 0;
};

/// One request and its response, as a route sees them. All calls belong to the coroutine that the
/// server called the route on; those that wait suspend it and leave its thread to others.
///
/// A route reads the body at most once, then either responds once, or begins a stream, writes to it
/// and ends it. A route that returns without having done so has failed: the client gets a 500, or a
/// stream that breaks off.
class Exchange {
 public:
  virtual ~Exchange() = default;

  [[nodiscard]] virtual const HttpRequest& request() const = 0;

  /// The whole body. `reserve(n)` is called before memory for n bytes of body is spent: at once
  /// with Content-Length, as it grows by doubling when chunked; what it refuses is returned.
  /// OutOfRange above max_body_bytes (413), DeadlineExceeded when it comes too slowly (408),
  /// InvalidArgument for broken framing (400), Cancelled when the client is gone.
  virtual absl::StatusOr<std::string> ReadBody(
      const std::function<absl::Status(int64_t num_bytes)>& reserve) = 0;

  /// Sends a whole response. A body that was not read is skipped when it is short; else the
  /// connection ends after the response.
  virtual void Respond(const HttpResponse& response) = 0;

  /// Sends status line and headers of a response whose body follows in pieces: as chunks, or up to
  /// the end of the connection for HTTP/1.0. The body of `head` is not looked at.
  virtual void BeginStream(const HttpResponse& head) = 0;

  /// Sends a piece at once; nothing for an empty one. False when the client is gone, or took
  /// nothing for the stall limit and was cut off: nothing more can be sent then. Memory is bounded
  /// by `piece`: it returns when the kernel has taken everything.
  virtual bool Write(std::string_view piece) = 0;

  /// Ends the stream regularly; without it the client sees a broken one.
  virtual void EndStream() = 0;

  enum class Event { kNotified, kDeadline, kClientGone };

  /// Waits until the client is gone, the waker was notified since the last Wait, or `deadline`;
  /// says the first of these that holds. It may say kNotified once too often.
  virtual Event Wait(TimePoint deadline) = 0;

  /// Valid for the connection's whole life.
  virtual std::shared_ptr<Waker> waker() = 0;

  /// Runs `work` on another thread and waits for its end, also when the client goes: for what would
  /// keep the thread's other connections waiting.
  virtual void RunElsewhere(const std::function<void()>& work) = 0;
};

}  // namespace hadal
