#include "server/http/http_server.h"

#include <functional>
#include <pthread.h>
#include <thread>
#include <utility>

#include <absl/synchronization/notification.h>
#include <boost/asio/executor_work_guard.hpp>

#include "server/http/connection.h"
#include "server/http/io_thread.h"
#include "server/http/listener.h"
#include "server/http/server_state.h"

namespace hadal {
namespace {

namespace asio = boost::asio;

// Each connection takes two mappings, and Linux allows a process 65530.
constexpr int64_t kMaxConnections = 30'000;

absl::Status Validate(const HttpServer::Args& args) {
  const HttpLimits& limits = args.limits;
  if (args.num_threads < 1 || args.num_work_threads < 1) {
    return InvalidArgument("a server needs at least one thread of each kind");
  }
  if (args.route == nullptr || args.make_error == nullptr) {
    return InvalidArgument("a server needs a route and make_error");
  }
  if (limits.max_connections < 1 || limits.max_connections > kMaxConnections) {
    return InvalidArgument(
        "max_connections is %d, not in 1..%d", limits.max_connections, kMaxConnections);
  }
  for (const int64_t limit : {limits.max_connections_per_address, limits.max_body_bytes}) {
    if (limit < 0) {
      return InvalidArgument("a limit of a server is negative: %d", limit);
    }
  }
  for (const int64_t limit :
       {limits.max_request_line_bytes, limits.max_header_bytes, limits.max_headers}) {
    if (limit < 1) {
      return InvalidArgument("a limit of a server is less than 1: %d", limit);
    }
  }
  return absl::OkStatus();
}

std::vector<std::unique_ptr<IoThread>> MakeThreads(const HttpServer::Args& args) {
  std::vector<std::unique_ptr<IoThread>> threads;
  threads.reserve(static_cast<size_t>(args.num_threads));
  for (int32_t i = 0; i < args.num_threads; ++i) {
    threads.push_back(std::make_unique<IoThread>(args.observer.thread_was_busy));
  }
  return threads;
}

class AsioHttpServer final : public HttpServer {
 public:
  explicit AsioHttpServer(Args args)
      : state_(std::move(args)),
        threads_(MakeThreads(state_.args)),
        listener_(state_, threads_),
        work_guard_(asio::make_work_guard(state_.work)) {}

  ~AsioHttpServer() override;

  absl::Status Open();
  void Start();

  [[nodiscard]] uint16_t port() const override { return listener_.port(); }
  void BeginDrain() override;
  void StopAccepting() override;
  void NotifyAll() override;
  bool WaitUntilIdle(TimePoint deadline) override {
    return state_.connections.WaitUntilNone(deadline);
  }

 private:
  void ForEachConnection(const std::function<void(Connection&)>& action);

  ServerState state_;
  std::vector<std::unique_ptr<IoThread>> threads_;
  Listener listener_;
  asio::executor_work_guard<asio::io_context::executor_type> work_guard_;
  std::vector<std::thread> work_threads_;
  bool started_ = false;
};

absl::Status AsioHttpServer::Open() {
  if (state_.args.tls.has_value()) {
    ASSIGN_OR_RETURN(state_.tls, MakeTlsContext(*state_.args.tls));
  }
  return listener_.Open();
}

void AsioHttpServer::Start() {
  started_ = true;
  threads_.front()->Post([this] { listener_.Start(); });
  for (size_t i = 0; i < threads_.size(); ++i) {
    threads_[i]->Start(state_.args.name + "-" + std::to_string(i));
  }
  for (int32_t i = 0; i < state_.args.num_work_threads; ++i) {
    std::thread& thread = work_threads_.emplace_back([this] { state_.work.run(); });
    pthread_setname_np(thread.native_handle(), ("work-" + std::to_string(i)).c_str());
  }
}

// The listener goes first, so that no thread is handed a connection after it was told to finish.
AsioHttpServer::~AsioHttpServer() {
  if (!started_) {
    return;
  }
  state_.cut_off = true;
  state_.connections.Close();
  absl::Notification closed;
  threads_.front()->Post([this, &closed] {
    listener_.Close();
    closed.Notify();
  });
  closed.WaitForNotification();
  ForEachConnection([](Connection& connection) { connection.Cut(); });
  for (const auto& thread : threads_) {
    thread->Finish();
  }
  for (const auto& thread : threads_) {
    thread->Join();
  }
  work_guard_.reset();
  for (std::thread& thread : work_threads_) {
    thread.join();
  }
}

void AsioHttpServer::ForEachConnection(const std::function<void(Connection&)>& action) {
  for (const auto& thread : threads_) {
    thread->Post([&thread = *thread, action] {
      for (Connection* const connection : thread.connections()) {
        action(*connection);
      }
    });
  }
}

void AsioHttpServer::BeginDrain() {
  state_.draining = true;
  ForEachConnection([](Connection& connection) { connection.Wake(); });
}

void AsioHttpServer::StopAccepting() {
  if (!state_.accepting.exchange(false)) {
    return;
  }
  state_.connections.Close();
  threads_.front()->Post([this] { listener_.Close(); });
  ForEachConnection([](Connection& connection) { connection.Wake(); });
}

void AsioHttpServer::NotifyAll() {
  ForEachConnection([](Connection& connection) { connection.waker().Notify(); });
}

}  // namespace

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(Args args) {
  RETURN_IF_ERROR(Validate(args));
  auto server = std::make_unique<AsioHttpServer>(std::move(args));
  RETURN_IF_ERROR(server->Open());
  server->Start();
  return std::unique_ptr<HttpServer>(std::move(server));
}

}  // namespace hadal
