#include "server/http/transport.h"

#include <algorithm>
#include <string>
#include <utility>

#include <boost/asio/post.hpp>
#include <boost/asio/ssl/stream.hpp>

namespace hadal {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

// What the kernel holds for a client that reads slowly; it takes twice as much for its own
// bookkeeping.
constexpr int kSendBufferBytes = 64 << 10;

constexpr size_t kDropBytes = 16 << 10;

// One TLS record.
constexpr size_t kMaxRecordBytes = 16 << 10;

// Some of these fail on a socket that is closed already; the first read or write will tell.
void SetOptions(Socket& socket) {
  error_code ignored;
  socket.non_blocking(true, ignored);
  socket.set_option(asio::ip::tcp::no_delay(true), ignored);
  socket.set_option(asio::socket_base::keep_alive(true), ignored);
  socket.set_option(asio::socket_base::send_buffer_size(kSendBufferBytes), ignored);
}

void CloseSocket(Socket& socket) {
  error_code ignored;
  socket.close(ignored);
}

void AbortSocket(Socket& socket) {
  error_code ignored;
  socket.set_option(asio::socket_base::linger(true, 0), ignored);
  socket.close(ignored);
}

void EndSending(Socket& socket) {
  error_code ignored;
  socket.shutdown(asio::socket_base::shutdown_send, ignored);
}

// Reads until the other side ends, or has sent `max_bytes` or a few more.
void DropInput(Socket& socket, size_t max_bytes, Transport::Handler handler) {
  auto buffer = std::make_unique_for_overwrite<char[]>(kDropBytes);
  const asio::mutable_buffer space = asio::buffer(buffer.get(), kDropBytes);
  socket.async_read_some(
      space,
      [&socket, max_bytes, handler = std::move(handler), buffer = std::move(buffer)](
          const error_code& error, size_t num_bytes) mutable {
        if (error || num_bytes >= max_bytes) {
          handler(error, 0);
        } else {
          DropInput(socket, max_bytes - num_bytes, std::move(handler));
        }
      });
}

class PlainTransport final : public Transport {
 public:
  explicit PlainTransport(Socket socket) : socket_(std::move(socket)) { SetOptions(socket_); }

  void AsyncHandshake(Handler handler) override {
    asio::post(socket_.get_executor(),
               [handler = std::move(handler)] { handler(error_code(), 0); });
  }

  void AsyncRead(asio::mutable_buffer buffer, Handler handler) override {
    socket_.async_read_some(buffer, std::move(handler));
  }

  size_t TryWrite(std::span<const asio::const_buffer> buffers, error_code& error) override {
    const size_t num_bytes = socket_.write_some(buffers, error);
    if (error == asio::error::would_block || error == asio::error::try_again) {
      error = {};
    }
    return num_bytes;
  }

  void AsyncWrite(std::span<const asio::const_buffer> buffers, Handler handler) override {
    socket_.async_write_some(buffers, std::move(handler));
  }

  void AsyncLinger(size_t max_bytes, Handler handler) override {
    EndSending(socket_);
    DropInput(socket_, max_bytes, std::move(handler));
  }

  void Close() override { CloseSocket(socket_); }
  void Abort() override { AbortSocket(socket_); }

 private:
  Socket socket_;
};

class TlsTransport final : public Transport {
 public:
  TlsTransport(Socket socket, asio::ssl::context& context) : stream_(std::move(socket), context) {
    SetOptions(stream_.next_layer());
  }

  void AsyncHandshake(Handler handler) override {
    stream_.async_handshake(
        asio::ssl::stream_base::server,
        [handler = std::move(handler)](const error_code& error) { handler(error, 0); });
  }

  void AsyncRead(asio::mutable_buffer buffer, Handler handler) override {
    stream_.async_read_some(buffer, std::move(handler));
  }

  size_t TryWrite(std::span<const asio::const_buffer>, error_code&) override { return 0; }

  // Small pieces go into one record together.
  void AsyncWrite(std::span<const asio::const_buffer> buffers, Handler handler) override {
    record_.resize(std::min(asio::buffer_size(buffers), kMaxRecordBytes));
    const size_t num_bytes = asio::buffer_copy(asio::buffer(record_), buffers);
    stream_.async_write_some(asio::buffer(record_.data(), num_bytes), std::move(handler));
  }

  // TLS says goodbye and waits for the same; it takes anything else for an error.
  void AsyncLinger(size_t max_bytes, Handler handler) override {
    stream_.async_shutdown(
        [this, max_bytes, handler = std::move(handler)](const error_code& error) mutable {
          if (!error) {
            handler(error, 0);
            return;
          }
          EndSending(stream_.next_layer());
          DropInput(stream_.next_layer(), max_bytes, std::move(handler));
        });
  }

  void Close() override { CloseSocket(stream_.next_layer()); }
  void Abort() override { AbortSocket(stream_.next_layer()); }

 private:
  asio::ssl::stream<Socket> stream_;
  std::string record_;
};

}  // namespace

std::unique_ptr<Transport> MakePlainTransport(Socket socket) {
  return std::make_unique<PlainTransport>(std::move(socket));
}

std::unique_ptr<Transport> MakeTlsTransport(Socket socket, asio::ssl::context& context) {
  return std::make_unique<TlsTransport>(std::move(socket), context);
}

}  // namespace hadal
