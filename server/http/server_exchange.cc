#include "server/http/server_exchange.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include <boost/asio/post.hpp>

#include "base/check.h"
#include "server/http/chunked_body.h"

namespace hadal {
namespace {

namespace asio = boost::asio;

constexpr size_t kBodyReadBytes = 32 << 10;
constexpr int64_t kMaxSkippedBytes = 64 << 10;

bool HasNoBody(int32_t status) {
  return status < 200 || status == 204 || status == 304;
}

}  // namespace

ServerExchange::ServerExchange(Connection& connection, HeaderBlock block)
    : connection_(connection),
      block_(std::move(block)),
      is_head_(block_.request.method == "HEAD"),
      body_(block_.request.has_body ? Body::kUnread : Body::kRead),
      continue_pending_(block_.expects_continue) {}

absl::StatusOr<std::string> ServerExchange::ReadBody(
    const std::function<absl::Status(int64_t num_bytes)>& reserve) {
  std::string body;
  if (!block_.request.has_body) {
    return body;
  }
  CHECK(body_ == Body::kUnread);
  body_ = Body::kFailed;  // unless all goes well
  RETURN_IF_ERROR(block_.is_chunked ? ReadChunked(reserve, body) : ReadSized(reserve, body));
  body_ = Body::kRead;
  return body;
}

absl::Status ServerExchange::ReadSized(const std::function<absl::Status(int64_t)>& reserve,
                                       std::string& body) {
  const HttpLimits& limits = connection_.state().args.limits;
  const int64_t length = *block_.request.content_length;
  if (length > limits.max_body_bytes) {
    return OutOfRange("the body has %d bytes, and %d are allowed", length, limits.max_body_bytes);
  }
  if (absl::Status status = reserve(length); !status.ok()) {
    body_ = Body::kUnread;  // none of it was taken, so a next request can follow
    return status;
  }
  RETURN_IF_ERROR(Continue());
  const auto size = static_cast<size_t>(length);
  body.reserve(size);
  const TimePoint deadline = std::chrono::steady_clock::now() + limits.body_timeout;
  for (;;) {
    const std::string_view bytes = connection_.input().substr(0, size - body.size());
    body.append(bytes);
    connection_.TakeInput(bytes.size());
    if (body.size() == size) {
      return absl::OkStatus();
    }
    RETURN_IF_ERROR(ReadMore(deadline));
  }
}

absl::Status ServerExchange::ReadChunked(const std::function<absl::Status(int64_t)>& reserve,
                                         std::string& body) {
  const HttpLimits& limits = connection_.state().args.limits;
  RETURN_IF_ERROR(Continue());
  const TimePoint deadline = std::chrono::steady_clock::now() + limits.body_timeout;
  ChunkedBody chunks;
  for (;;) {
    size_t num_taken = 0;
    while (chunks.state() == ChunkedBody::State::kMore && num_taken < connection_.input().size()) {
      const ChunkedBody::Piece piece = chunks.Take(connection_.input().substr(num_taken));
      num_taken += piece.num_bytes;
      if (chunks.num_announced() > limits.max_body_bytes) {
        return OutOfRange("the body has more than the %d bytes that are allowed",
                          limits.max_body_bytes);
      }
      const size_t size = body.size() + piece.data.size();
      if (size > body.capacity()) {
        // Doubling, as the string would do by itself, but asked for.
        const auto most = static_cast<size_t>(limits.max_body_bytes);
        const size_t capacity = std::max(size, std::min(2 * body.capacity(), most));
        RETURN_IF_ERROR(reserve(static_cast<int64_t>(capacity)));
        body.reserve(capacity);
      }
      body.append(piece.data);
    }
    connection_.TakeInput(num_taken);
    switch (chunks.state()) {
      case ChunkedBody::State::kComplete:
        return absl::OkStatus();
      case ChunkedBody::State::kMalformed:
        return InvalidArgument("the chunks of the body are malformed");
      case ChunkedBody::State::kMore:
        RETURN_IF_ERROR(ReadMore(deadline));
    }
  }
}

absl::Status ServerExchange::ReadMore(TimePoint deadline) {
  switch (connection_.ReadMore(kBodyReadBytes, deadline)) {
    case Connection::ReadResult::kBytes:
      return absl::OkStatus();
    case Connection::ReadResult::kDeadline:
      return absl::DeadlineExceededError("the body took too long to come");
    case Connection::ReadResult::kGone:
      break;
  }
  CountGone();
  return absl::CancelledError("the client is gone");
}

absl::Status ServerExchange::Continue() {
  if (!std::exchange(continue_pending_, false) || !connection_.input().empty()) {
    return absl::OkStatus();
  }
  constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
  std::array<asio::const_buffer, 1> buffers = {asio::buffer(kContinue)};
  if (!Send(buffers, Connection::HalfClosed::kIsGone)) {
    return absl::CancelledError("the client is gone");
  }
  return absl::OkStatus();
}

// Whether a next request can follow what there is of this one's body.
bool ServerExchange::BodyAllowsNext() const {
  switch (body_) {
    case Body::kRead:
      return true;
    case Body::kFailed:
      return false;
    case Body::kUnread:
      break;
  }
  return !block_.is_chunked && !continue_pending_ &&
         *block_.request.content_length <= kMaxSkippedBytes;
}

bool ServerExchange::SendHead(const HttpResponse& response,
                              BodyFraming framing,
                              std::string_view body) {
  const ServerState& state = connection_.state();
  last_response_ = !block_.keeps_alive || state.draining || framing == BodyFraming::kUntilClose ||
                   !BodyAllowsNext();
  const ConnectionFate fate = last_response_       ? ConnectionFate::kClosed
                              : block_.is_http_1_0 ? ConnectionFate::kKeptAndSaid
                                                   : ConnectionFate::kKept;
  const std::string head = FormatResponseHead({.response = response,
                                               .request_id = block_.request.request_id,
                                               .date = connection_.thread().Date(),
                                               .framing = framing,
                                               .content_length = std::ssize(body),
                                               .fate = fate});
  const bool has_body = !is_head_ && framing == BodyFraming::kContentLength;
  std::array<asio::const_buffer, 2> buffers = {
      asio::buffer(head), has_body ? asio::buffer(body) : asio::const_buffer()};
  return Send(buffers, Connection::HalfClosed::kIsServed);
}

// False, once and for all, when something could not be sent.
bool ServerExchange::Send(std::span<asio::const_buffer> buffers,
                          Connection::HalfClosed half_closed) {
  if (broken_) {
    return false;
  }
  switch (connection_.Send(buffers, half_closed)) {
    case Connection::SendResult::kSent:
      return true;
    case Connection::SendResult::kGone:
      CountGone();
      break;
    case Connection::SendResult::kStalled:
      gone_counted_ = true;  // as stalled
      break;
  }
  broken_ = true;
  return false;
}

void ServerExchange::CountGone() {
  const ServerState& state = connection_.state();
  if (!std::exchange(gone_counted_, true) && !state.cut_off &&
      state.args.observer.client_gone != nullptr) {
    state.args.observer.client_gone();
  }
}

void ServerExchange::Respond(const HttpResponse& response) {
  CHECK(phase_ == Phase::kFresh);
  phase_ = Phase::kDone;
  SendHead(response,
           HasNoBody(response.status) ? BodyFraming::kNoBody : BodyFraming::kContentLength,
           response.body);
}

void ServerExchange::BeginStream(const HttpResponse& head) {
  CHECK(phase_ == Phase::kFresh);
  phase_ = Phase::kStreaming;
  is_chunked_ = !block_.is_http_1_0;
  SendHead(head, is_chunked_ ? BodyFraming::kChunked : BodyFraming::kUntilClose, {});
}

bool ServerExchange::Write(std::string_view piece) {
  CHECK(phase_ == Phase::kStreaming);
  connection_.Watch();
  if (piece.empty() || is_head_) {  // an empty chunk would end the stream
    return !broken_ && !connection_.peer_gone();
  }
  if (!is_chunked_) {
    std::array<asio::const_buffer, 1> buffers = {asio::buffer(piece)};
    return Send(buffers, Connection::HalfClosed::kIsGone);
  }
  constexpr std::string_view kLineEnd = "\r\n";
  constexpr int kHexadecimal = 16;
  std::array<char, 32> line;  // more than any size has
  char* end = std::to_chars(line.data(), line.data() + line.size(), piece.size(), kHexadecimal).ptr;
  end = std::copy(kLineEnd.begin(), kLineEnd.end(), end);
  std::array<asio::const_buffer, 3> buffers = {
      asio::buffer(line.data(), static_cast<size_t>(end - line.data())),
      asio::buffer(piece),
      asio::buffer(kLineEnd)};
  return Send(buffers, Connection::HalfClosed::kIsGone);
}

void ServerExchange::EndStream() {
  CHECK(phase_ == Phase::kStreaming);
  phase_ = Phase::kDone;
  if (is_chunked_ && !is_head_) {
    std::array<asio::const_buffer, 1> buffers = {asio::buffer(std::string_view("0\r\n\r\n"))};
    Send(buffers, Connection::HalfClosed::kIsServed);
  }
}

Exchange::Event ServerExchange::Wait(TimePoint deadline) {
  for (;;) {
    connection_.Watch();
    if (connection_.peer_gone() || connection_.broken()) {
      CountGone();
      return Event::kClientGone;
    }
    if (connection_.waker().Take()) {
      return Event::kNotified;
    }
    if (std::chrono::steady_clock::now() >= deadline) {
      return Event::kDeadline;
    }
    connection_.Suspend(deadline);
  }
}

std::shared_ptr<Waker> ServerExchange::waker() {
  return connection_.waker().shared_from_this();
}

void ServerExchange::RunElsewhere(const std::function<void()>& work) {
  bool done = false;  // this thread's
  asio::post(connection_.state().work, [this, &work, &done] {
    work();
    asio::post(connection_.thread().context(), [this, &done] {
      done = true;
      connection_.Wake();
    });
  });
  while (!done) {
    connection_.Suspend(TimePoint::max());
  }
}

// The body's first bytes may have come already.
bool ServerExchange::SkipBody() {
  const TimePoint deadline =
      std::chrono::steady_clock::now() + connection_.state().args.limits.body_timeout;
  auto left = static_cast<size_t>(*block_.request.content_length);
  for (;;) {
    const size_t num_bytes = std::min(left, connection_.input().size());
    connection_.TakeInput(num_bytes);
    left -= num_bytes;
    if (left == 0) {
      return true;
    }
    if (connection_.ReadMore(kBodyReadBytes, deadline) != Connection::ReadResult::kBytes) {
      return false;
    }
  }
}

ServerExchange::Outcome ServerExchange::Finish() {
  if (phase_ == Phase::kFresh) {
    const ServerState& state = connection_.state();
    if (state.args.observer.refused != nullptr) {
      state.args.observer.refused(500);
    }
    Respond(state.args.make_error(500, "the server failed to answer"));
  }
  if (broken_ || phase_ == Phase::kStreaming) {
    return Outcome::kBrokenOff;
  }
  if (last_response_ || (body_ == Body::kUnread && !SkipBody())) {
    return Outcome::kLastResponse;
  }
  return Outcome::kNextRequest;
}

}  // namespace hadal
