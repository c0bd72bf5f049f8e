#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

#include "base/status.h"
#include "server/http/io_thread.h"
#include "server/http/server_state.h"
#include "server/http/transport.h"

namespace hadal {

/// Takes connections and hands them to the I/O threads in turn. It belongs to the first of them.
class Listener {
 public:
  /// Borrows state and threads.
  Listener(ServerState& state, const std::vector<std::unique_ptr<IoThread>>& threads);
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  /// Listens, but takes nothing before Start. InvalidArgument for an address that is none;
  /// Unavailable when the port cannot be had.
  absl::Status Open();

  [[nodiscard]] uint16_t port() const { return port_; }

  // On the first thread.
  void Start() { Accept(); }
  void Close();

 private:
  void Accept();
  void RetryLater();
  void Admit(Socket socket, IoThread& thread);

  ServerState& state_;
  const std::vector<std::unique_ptr<IoThread>>& threads_;
  boost::asio::ip::tcp::acceptor acceptor_;
  boost::asio::steady_timer retry_timer_;
  size_t next_thread_ = 0;
  uint16_t port_ = 0;
};

}  // namespace hadal
