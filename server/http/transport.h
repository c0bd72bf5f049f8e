#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>

namespace hadal {

using Socket =
    boost::asio::basic_stream_socket<boost::asio::ip::tcp, boost::asio::io_context::executor_type>;

/// A connection's bytes, plain or TLS. The thread's of the socket's context. Handlers are called on
/// it, never from inside a call; at most one read and one write may be pending. Borrows buffers
/// until the handler is called.
class Transport {
 public:
  using Handler = std::function<void(const boost::system::error_code& error, size_t num_bytes)>;

  virtual ~Transport() = default;

  /// Before anything else.
  virtual void AsyncHandshake(Handler handler) = 0;

  /// Some bytes; an error when there are no more.
  virtual void AsyncRead(boost::asio::mutable_buffer buffer, Handler handler) = 0;

  /// Sends what can be sent without waiting, perhaps nothing; how much that was.
  virtual size_t TryWrite(std::span<const boost::asio::const_buffer> buffers,
                          boost::system::error_code& error) = 0;

  /// Sends some bytes, at least one.
  virtual void AsyncWrite(std::span<const boost::asio::const_buffer> buffers, Handler handler) = 0;

  /// Tells the other side that nothing more will be sent, and drops what it sends until it ends as
  /// well, or up to some `max_bytes`. What it sends when nobody reads would make its own system
  /// throw away what it has not read yet. A read may be pending; nothing else may follow.
  virtual void AsyncLinger(size_t max_bytes, Handler handler) = 0;

  /// Closes; what is pending ends with an error.
  virtual void Close() = 0;

  /// Closes at once and drops what the kernel has not sent yet.
  virtual void Abort() = 0;
};

/// `socket` is connected. Its options are set for a server that streams.
std::unique_ptr<Transport> MakePlainTransport(Socket socket);
std::unique_ptr<Transport> MakeTlsTransport(Socket socket, boost::asio::ssl::context& context);

}  // namespace hadal
