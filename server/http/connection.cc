#include "server/http/connection.h"

#include <array>
#include <optional>
#include <utility>
#include <variant>

#include <absl/cleanup/cleanup.h>
#include <boost/asio/spawn.hpp>

#include "base/log.h"
#include "server/http/server_exchange.h"

namespace hadal {
namespace {

namespace asio = boost::asio;

constexpr size_t kHeadReadBytes = 4 << 10;

// A read that waits while a response streams: mostly for the end of the client.
constexpr size_t kWatchReadBytes = 1 << 10;

// What is kept of requests that were sent before the response to the last one.
constexpr size_t kMaxWatchedBytes = 16 << 10;

// How long, and how much, a client may go on sending that is being left.
constexpr Duration kLingerTime = std::chrono::seconds(2);
constexpr size_t kMaxLingerBytes = 256 << 10;

TimePoint Now() {
  return std::chrono::steady_clock::now();
}

// Leaves of `buffers` what lies behind their first `num_bytes`.
void Advance(std::span<asio::const_buffer>& buffers, size_t num_bytes) {
  while (!buffers.empty() && num_bytes >= buffers.front().size()) {
    num_bytes -= buffers.front().size();
    buffers = buffers.subspan(1);
  }
  if (!buffers.empty()) {
    buffers.front() += num_bytes;
  }
}

}  // namespace

void Connection::Start(Args args) {
  ServerState& state = args.state;
  IoThread& thread = args.thread;
  const bool is_admitted = args.admission == ConnectionCount::Admission::kAdmitted;
  const std::optional<boost::context::stack_context> stack =
      state.cut_off ? std::nullopt : thread.stacks().Take();
  if (!stack.has_value()) {
    state.connections.Remove(args.client, args.admission);
    return;
  }
  const auto connection = std::make_shared<Connection>(std::move(args), *stack);
  thread.connections().insert(connection.get());
  if (is_admitted && state.args.observer.connections != nullptr) {
    state.args.observer.connections(+1);
  }
  asio::spawn(
      thread.context().get_executor(),
      std::allocator_arg,
      CoroutineStacks::Allocator(thread.stacks(), *stack),
      [connection](Yield yield) {
        connection->stack_note_.Enter();
        const absl::Cleanup leave = [&connection] { connection->stack_note_.Leave(); };
        connection->yield_ = &yield;
        connection->Run();
      },
      [connection](const std::exception_ptr& error) { connection->Finish(error); });
}

Connection::Connection(Args args, const boost::context::stack_context& stack)
    : state_(args.state),
      thread_(args.thread),
      transport_(std::move(args.transport)),
      client_address_(std::move(args.client_address)),
      client_(std::move(args.client)),
      admission_(args.admission),
      waker_(std::make_shared<ConnectionWaker>(args.thread.wake_queue(), *this)),
      stack_note_(stack),
      timer_(args.thread.context()) {}

// The coroutine's end.
void Connection::Finish(const std::exception_ptr& error) {
  if (error != nullptr) {
    Log(LogLevel::kError, "a route threw an exception: its connection is closed");
  }
  transport_->Close();
  waker_->Detach();
  thread_.connections().erase(this);
  if (admission_ == ConnectionCount::Admission::kAdmitted &&
      state_.args.observer.connections != nullptr) {
    state_.args.observer.connections(-1);
  }
  state_.connections.Remove(client_, admission_);
}

void Connection::Run() {
  if (Handshake() == Next::kEnd) {
    return;
  }
  if (admission_ == ConnectionCount::Admission::kTooMany) {
    Refuse({503, "too many connections"});
    return;
  }
  while (ServeRequest() == Next::kGoOn) {
  }
}

Connection::Next Connection::ServeRequest() {
  HeaderBlock block;
  if (AwaitFirstByte() == Next::kEnd || ReadHead(block) == Next::kEnd) {
    return Next::kEnd;
  }
  ++num_requests_;
  block.request.is_tls = state_.tls.has_value();
  block.request.client_address = client_address_;
  if (block.request.request_id.empty()) {
    block.request.request_id = thread_.FreshRequestId();
  }
  ServerExchange exchange(*this, std::move(block));
  state_.args.route(exchange);
  switch (exchange.Finish()) {
    case ServerExchange::Outcome::kNextRequest:
      return Next::kGoOn;
    case ServerExchange::Outcome::kLastResponse:
      Linger();
      return Next::kEnd;
    case ServerExchange::Outcome::kBrokenOff:
      break;
  }
  return Next::kEnd;
}

Connection::Next Connection::Handshake() {
  const Completion completion = Perform(
      [this](Transport::Handler handler) { transport_->AsyncHandshake(std::move(handler)); },
      Now() + state_.args.limits.header_timeout,
      HalfClosed::kIsServed);
  return completion.error ? Next::kEnd : Next::kGoOn;
}

// A new connection gets its first request answered even when the server is draining, as long as it
// takes connections at all.
Connection::Next Connection::AwaitFirstByte() {
  const HttpLimits& limits = state_.args.limits;
  const bool is_first = num_requests_ == 0;
  const TimePoint deadline = Now() + (is_first ? limits.header_timeout : limits.idle_timeout);
  while (input_.empty()) {
    const bool may_begin = is_first ? state_.accepting.load() : !state_.draining;
    if (peer_gone_ || broken_ || Now() >= deadline || !may_begin) {
      return Next::kEnd;
    }
    StartRead(kHeadReadBytes);
    Suspend(deadline);
  }
  return Next::kGoOn;
}

Connection::Next Connection::ReadHead(HeaderBlock& block) {
  const HttpLimits& limits = state_.args.limits;
  const TimePoint deadline = Now() + limits.header_timeout;
  HeaderBlockScanner scanner({.max_request_line_bytes = limits.max_request_line_bytes,
                              .max_header_bytes = limits.max_header_bytes,
                              .max_headers = limits.max_headers});
  HeaderBlockScanner::Result result = scanner.Scan(input_);
  while (result == HeaderBlockScanner::Result::kNeedsMore) {
    switch (ReadMore(kHeadReadBytes, deadline)) {
      case ReadResult::kBytes:
        break;
      case ReadResult::kGone:
        return Next::kEnd;
      case ReadResult::kDeadline:
        Refuse({408, "the request took too long to come"});
        return Next::kEnd;
    }
    result = scanner.Scan(input_);
  }
  if (result == HeaderBlockScanner::Result::kRefused) {
    Refuse(scanner.refusal());
    return Next::kEnd;
  }
  auto parsed = ParseHeaderBlock(std::string_view(input_).substr(0, scanner.size()));
  if (const auto* refusal = std::get_if<HttpRefusal>(&parsed)) {
    Refuse(*refusal);
    return Next::kEnd;
  }
  TakeInput(scanner.size());
  block = std::get<HeaderBlock>(std::move(parsed));
  return Next::kGoOn;
}

// The server's own answer to what it cannot go on with.
void Connection::Refuse(const HttpRefusal& refusal) {
  if (state_.args.observer.refused != nullptr) {
    state_.args.observer.refused(refusal.status);
  }
  const HttpResponse response = state_.args.make_error(refusal.status, refusal.message);
  const std::string request_id = thread_.FreshRequestId();
  const std::string head = FormatResponseHead({.response = response,
                                               .request_id = request_id,
                                               .date = thread_.Date(),
                                               .framing = BodyFraming::kContentLength,
                                               .content_length = std::ssize(response.body),
                                               .fate = ConnectionFate::kClosed});
  std::array<asio::const_buffer, 2> buffers = {asio::buffer(head), asio::buffer(response.body)};
  if (Send(buffers, HalfClosed::kIsServed) == SendResult::kSent) {
    Linger();
  }
}

// Says that nothing more comes, and waits for the client to end as well.
void Connection::Linger() {
  const auto done = std::make_shared<bool>(false);  // the connection may be closed before
  transport_->AsyncLinger(kMaxLingerBytes, [self = shared_from_this(), done](const auto&, size_t) {
    *done = true;
    self->Wake();
  });
  const TimePoint deadline = Now() + kLingerTime;
  while (!*done && !broken_ && Now() < deadline) {
    Suspend(deadline);
  }
}

void Connection::Wake() {
  timer_.cancel();
}

void Connection::Cut() {
  Abort();
  Wake();
}

void Connection::Abort() {
  broken_ = true;
  transport_->Abort();
}

void Connection::Suspend(TimePoint deadline) {
  timer_.expires_at(deadline);
  boost::system::error_code ignored;  // who waits looks around, whatever it was
  stack_note_.Leave();
  timer_.async_wait((*yield_)[ignored]);
  stack_note_.Enter();
}

void Connection::StartRead(size_t max_bytes) {
  if (read_pending_ || peer_gone_ || broken_) {
    return;
  }
  if (landing_bytes_ != max_bytes) {
    landing_ = std::make_unique_for_overwrite<char[]>(max_bytes);
    landing_bytes_ = max_bytes;
  }
  read_pending_ = true;
  transport_->AsyncRead(
      asio::buffer(landing_.get(), landing_bytes_),
      [self = shared_from_this()](const boost::system::error_code& error, size_t num_bytes) {
        self->read_pending_ = false;
        self->peer_gone_ = self->peer_gone_ || error;
        self->input_.append(self->landing_.get(), num_bytes);
        self->Wake();
      });
}

Connection::ReadResult Connection::ReadMore(size_t max_bytes, TimePoint deadline) {
  const size_t num_before = input_.size();
  while (input_.size() == num_before) {
    if (peer_gone_ || broken_) {
      return ReadResult::kGone;
    }
    if (Now() >= deadline) {
      return ReadResult::kDeadline;
    }
    StartRead(max_bytes);
    Suspend(deadline);
  }
  return ReadResult::kBytes;
}

void Connection::Watch() {
  if (input_.size() < kMaxWatchedBytes) {
    StartRead(kWatchReadBytes);
  }
}

void Connection::TakeInput(size_t num_bytes) {
  if (num_bytes == input_.size()) {
    input_ = std::string();  // open streams are many: they should not hold what they do not need
  } else {
    input_.erase(0, num_bytes);
  }
}

// Starts an operation and waits for its end, which comes soon after the connection is aborted at
// the deadline.
Connection::Completion Connection::Perform(
    const std::function<void(Transport::Handler handler)>& start,
    TimePoint deadline,
    HalfClosed half_closed) {
  Completion completion;
  start([self = shared_from_this(), &completion](const boost::system::error_code& error,
                                                 size_t num_bytes) {
    completion.done = true;
    completion.error = error;
    completion.num_bytes = num_bytes;
    self->Wake();
  });
  while (!completion.done) {
    Suspend(deadline);
    if (completion.done || broken_) {
      continue;
    }
    if (Now() >= deadline) {
      completion.timed_out = true;
      Abort();
    } else if (peer_gone_ && half_closed == HalfClosed::kIsGone) {
      Abort();
    }
  }
  return completion;
}

Connection::SendResult Connection::Send(std::span<asio::const_buffer> buffers,
                                        HalfClosed half_closed) {
  while (!broken_) {
    if (peer_gone_ && half_closed == HalfClosed::kIsGone) {
      return SendResult::kGone;
    }
    boost::system::error_code error;
    Advance(buffers, transport_->TryWrite(buffers, error));
    if (!error && buffers.empty()) {
      return SendResult::kSent;
    }
    if (!error) {
      const Completion completion = Perform(
          [this, buffers](Transport::Handler handler) {
            transport_->AsyncWrite(buffers, std::move(handler));
          },
          Now() + state_.args.limits.stall_timeout,
          half_closed);
      if (completion.timed_out) {
        if (state_.args.observer.client_stalled != nullptr) {
          state_.args.observer.client_stalled();
        }
        return SendResult::kStalled;
      }
      error = completion.error;
      Advance(buffers, completion.num_bytes);
    }
    if (error) {
      broken_ = true;
    } else if (buffers.empty()) {
      return SendResult::kSent;
    }
  }
  return SendResult::kGone;
}

}  // namespace hadal
