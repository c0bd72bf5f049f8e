#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "server/http/connection.h"
#include "server/http/exchange.h"
#include "server/http/header_block.h"

namespace hadal {

/// An Exchange over a Connection, on its coroutine.
class ServerExchange final : public Exchange {
 public:
  ServerExchange(Connection& connection, HeaderBlock block);

  [[nodiscard]] const HttpRequest& request() const override { return block_.request; }
  absl::StatusOr<std::string> ReadBody(
      const std::function<absl::Status(int64_t num_bytes)>& reserve) override;
  void Respond(const HttpResponse& response) override;
  void BeginStream(const HttpResponse& head) override;
  bool Write(std::string_view piece) override;
  void EndStream() override;
  Event Wait(TimePoint deadline) override;
  std::shared_ptr<Waker> waker() override;
  void RunElsewhere(const std::function<void()>& work) override;

  enum class Outcome {
    kNextRequest,   // the connection is at the beginning of the next one
    kLastResponse,  // it was sent, and nothing can follow it
    kBrokenOff,     // the client has no whole response
  };

  /// When the route has returned: answers for one that did not, and skips a body that was not read.
  Outcome Finish();

 private:
  enum class Phase { kFresh, kStreaming, kDone };
  enum class Body { kUnread, kRead, kFailed };

  absl::Status ReadSized(const std::function<absl::Status(int64_t)>& reserve, std::string& body);
  absl::Status ReadChunked(const std::function<absl::Status(int64_t)>& reserve, std::string& body);
  absl::Status ReadMore(TimePoint deadline);
  absl::Status Continue();
  bool SendHead(const HttpResponse& response, BodyFraming framing, std::string_view body);
  bool Send(std::span<boost::asio::const_buffer> buffers, Connection::HalfClosed half_closed);
  [[nodiscard]] bool BodyAllowsNext() const;
  bool SkipBody();
  void CountGone();

  Connection& connection_;
  const HeaderBlock block_;
  const bool is_head_;  // the method
  Phase phase_ = Phase::kFresh;
  Body body_;
  bool continue_pending_;    // the client waits for a 100 before it sends the body
  bool is_chunked_ = false;  // the response
  bool last_response_ = false;
  bool broken_ = false;  // the response could not be sent
  bool gone_counted_ = false;
};

}  // namespace hadal
