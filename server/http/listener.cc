#include "server/http/listener.h"

#include <utility>

#include <boost/asio/ip/address.hpp>
#include <boost/asio/post.hpp>

#include "base/log.h"
#include "server/http/connection.h"

namespace hadal {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

// Without file descriptors or memory the next try would fail at once, over and over.
constexpr Duration kRetryInterval = std::chrono::milliseconds(100);

// An IPv4 client of an IPv6 socket is the same client as everywhere else.
asio::ip::address Unmapped(const asio::ip::address& address) {
  if (address.is_v6() && address.to_v6().is_v4_mapped()) {
    return asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6());
  }
  return address;
}

}  // namespace

Listener::Listener(ServerState& state, const std::vector<std::unique_ptr<IoThread>>& threads)
    : state_(state),
      threads_(threads),
      acceptor_(threads.front()->context()),
      retry_timer_(threads.front()->context()) {}

absl::Status Listener::Open() {
  const std::string& name = state_.args.address;
  error_code error;
  const asio::ip::address address = asio::ip::make_address(name, error);
  if (error) {
    return InvalidArgument("'%s' is no IP address", name);
  }
  const tcp::endpoint endpoint(address, state_.args.port);
  acceptor_.open(endpoint.protocol(), error);
  if (!error) {
    acceptor_.set_option(asio::socket_base::reuse_address(true), error);
  }
  if (!error) {
    acceptor_.bind(endpoint, error);
  }
  if (!error) {
    acceptor_.listen(asio::socket_base::max_listen_connections, error);
  }
  if (!error) {
    port_ = acceptor_.local_endpoint(error).port();
  }
  if (error) {
    return Unavailable("cannot listen on %s:%d: %s", name, state_.args.port, error.message());
  }
  return absl::OkStatus();
}

void Listener::Close() {
  error_code ignored;
  acceptor_.close(ignored);
  retry_timer_.cancel();
}

void Listener::Accept() {
  IoThread& thread = *threads_[next_thread_];
  next_thread_ = (next_thread_ + 1) % threads_.size();
  acceptor_.async_accept(thread.context().get_executor(),
                         [this, &thread](const error_code& error, Socket socket) {
                           if (!acceptor_.is_open()) {
                             return;
                           }
                           if (error && error != asio::error::connection_aborted) {
                             RetryLater();
                             return;
                           }
                           if (!error) {
                             Admit(std::move(socket), thread);
                           }
                           Accept();
                         });
}

void Listener::RetryLater() {
  Log(LogLevel::kWarning, "no connection can be taken: no file descriptors or no memory left");
  retry_timer_.expires_after(kRetryInterval);
  retry_timer_.async_wait([this](const error_code&) {
    if (acceptor_.is_open()) {
      Accept();
    }
  });
}

void Listener::Admit(Socket socket, IoThread& thread) {
  error_code error;
  const asio::ip::address address = Unmapped(socket.remote_endpoint(error).address());
  if (error) {
    return;  // gone again
  }
  ConnectionCount::Client client = ConnectionCount::ClientOf(address);
  const ConnectionCount::Admission admission = state_.connections.Add(client);
  if (admission != ConnectionCount::Admission::kAdmitted &&
      admission != ConnectionCount::Admission::kTooMany) {
    return;
  }
  asio::post(thread.context(),
             [this,
              &thread,
              admission,
              client = std::move(client),
              name = address.to_string(),
              socket = std::move(socket)]() mutable {
               auto transport = state_.tls.has_value()
                                    ? MakeTlsTransport(std::move(socket), *state_.tls)
                                    : MakePlainTransport(std::move(socket));
               Connection::Start({.state = state_,
                                  .thread = thread,
                                  .transport = std::move(transport),
                                  .client_address = std::move(name),
                                  .client = std::move(client),
                                  .admission = admission});
             });
}

}  // namespace hadal
