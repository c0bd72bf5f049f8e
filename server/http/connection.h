#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/io_context.hpp>

#include "base/clock.h"
#include "server/http/coroutine_stacks.h"
#include "server/http/header_block.h"
#include "server/http/io_thread.h"
#include "server/http/response_head.h"
#include "server/http/server_state.h"
#include "server/http/transport.h"
#include "server/http/wake_queue.h"

namespace boost::asio {
template <typename Executor>
class basic_yield_context;
}  // namespace boost::asio

namespace hadal {

/// One connection: a coroutine that reads a request, calls the route, and goes on with the next.
/// All of it on one I/O thread.
///
/// The coroutine waits in one place, Suspend. Reads and writes end in handlers that note what came
/// and wake it; whoever waits looks whether it is what was waited for. There is always at most one
/// read pending, which may go on while a response streams: so the end of the client is noticed
/// then, and the first bytes of its next request are kept.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  struct Args {
    ServerState& state;
    IoThread& thread;
    std::unique_ptr<Transport> transport;
    std::string client_address;
    ConnectionCount::Client client;
    ConnectionCount::Admission admission;
  };

  /// Begins to serve a connection that was counted. On its thread.
  static void Start(Args args);

  Connection(Args args, const boost::context::stack_context& stack);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// Lets the coroutine look around, if it waits. On its thread.
  void Wake();

  /// Ends the connection as fast as its route lets it. On its thread.
  void Cut();

  // For the coroutine, most of it for ServerExchange.

  enum class ReadResult { kBytes, kGone, kDeadline };

  /// Waits for bytes beyond those in input(), up to `max_bytes` of them at once.
  ReadResult ReadMore(size_t max_bytes, TimePoint deadline);

  /// Lets a read be pending if there is room, so that peer_gone() becomes true when it is.
  void Watch();

  /// Bytes that were read and not taken yet.
  [[nodiscard]] std::string_view input() const { return input_; }

  /// Takes the first `num_bytes` of them away.
  void TakeInput(size_t num_bytes);

  /// The client has closed or broken the connection, or its sending half of it.
  [[nodiscard]] bool peer_gone() const { return peer_gone_; }

  /// Nothing can be sent any more.
  [[nodiscard]] bool broken() const { return broken_; }

  enum class HalfClosed { kIsServed, kIsGone };  // a client that has ended its sending half
  enum class SendResult { kSent, kGone, kStalled };

  /// Sends all, and uses `buffers` up. kStalled: the client took nothing for the stall limit and
  /// was cut off.
  SendResult Send(std::span<boost::asio::const_buffer> buffers, HalfClosed half_closed);

  /// Until Wake, or `deadline`.
  void Suspend(TimePoint deadline);

  /// Ends the connection at once, and the coroutine soon.
  void Abort();

  ServerState& state() { return state_; }
  IoThread& thread() { return thread_; }
  ConnectionWaker& waker() { return *waker_; }

 private:
  using Executor = boost::asio::io_context::executor_type;
  using Yield = boost::asio::basic_yield_context<Executor>;
  using Timer =
      boost::asio::basic_waitable_timer<std::chrono::steady_clock,
                                        boost::asio::wait_traits<std::chrono::steady_clock>,
                                        Executor>;

  enum class Next { kGoOn, kEnd };
  struct Completion {
    bool done = false;
    bool timed_out = false;
    boost::system::error_code error;
    size_t num_bytes = 0;
  };

  void Run();
  Next Handshake();
  Next ServeRequest();
  Next AwaitFirstByte();
  Next ReadHead(HeaderBlock& block);
  void Refuse(const HttpRefusal& refusal);
  void Linger();
  void Finish(const std::exception_ptr& error);

  void StartRead(size_t max_bytes);
  Completion Perform(const std::function<void(Transport::Handler handler)>& start,
                     TimePoint deadline,
                     HalfClosed half_closed);

  ServerState& state_;
  IoThread& thread_;
  const std::unique_ptr<Transport> transport_;
  const std::string client_address_;
  const ConnectionCount::Client client_;
  const ConnectionCount::Admission admission_;
  const std::shared_ptr<ConnectionWaker> waker_;
  CoroutineStackNote stack_note_;
  Timer timer_;  // the coroutine waits for its end or its cancelling
  Yield* yield_ = nullptr;

  std::string input_;
  std::unique_ptr<char[]> landing_;  // of the pending read
  size_t landing_bytes_ = 0;
  bool read_pending_ = false;
  bool peer_gone_ = false;
  bool broken_ = false;
  int64_t num_requests_ = 0;
};

}  // namespace hadal
