#include "server/http/server_state.h"

#include <openssl/ssl.h>
#include <utility>

#include <absl/time/time.h>

#include "base/check.h"

namespace hadal {
namespace {

// Refusals that are being told; what comes beyond is dropped without a word.
constexpr int64_t kMaxRefusals = 64;

constexpr size_t kIpv6PrefixBytes = 8;

}  // namespace

ConnectionCount::ConnectionCount(const HttpLimits& limits)
    : max_connections_(limits.max_connections),
      max_connections_per_address_(limits.max_connections_per_address) {}

ConnectionCount::Client ConnectionCount::ClientOf(const boost::asio::ip::address& address) {
  if (address.is_v4()) {
    const auto bytes = address.to_v4().to_bytes();
    return {bytes.begin(), bytes.end()};
  }
  const auto bytes = address.to_v6().to_bytes();
  return {bytes.begin(), bytes.begin() + kIpv6PrefixBytes};
}

ConnectionCount::Admission ConnectionCount::Add(const Client& client) {
  const absl::MutexLock lock(&mutex_);
  if (closed_) {
    return Admission::kClosed;
  }
  const auto found = num_by_client_.find(client);
  const int64_t num_of_client = found == num_by_client_.end() ? 0 : found->second;
  if (num_admitted_ >= max_connections_ ||
      (max_connections_per_address_ > 0 && num_of_client >= max_connections_per_address_)) {
    if (num_refused_ >= kMaxRefusals) {
      return Admission::kTooManyRefusals;
    }
    ++num_refused_;
    return Admission::kTooMany;
  }
  ++num_admitted_;
  ++num_by_client_[client];
  return Admission::kAdmitted;
}

void ConnectionCount::Remove(const Client& client, Admission admission) {
  const absl::MutexLock lock(&mutex_);
  if (admission == Admission::kTooMany) {
    --num_refused_;
    return;
  }
  CHECK(admission == Admission::kAdmitted);
  --num_admitted_;
  const auto found = num_by_client_.find(client);
  CHECK(found != num_by_client_.end());
  if (--found->second == 0) {
    num_by_client_.erase(found);
  }
}

void ConnectionCount::Close() {
  const absl::MutexLock lock(&mutex_);
  closed_ = true;
}

bool ConnectionCount::WaitUntilNone(TimePoint deadline) {
  const auto is_none = [this]()
                           ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return num_admitted_ == 0; };
  const absl::Duration timeout =
      deadline == TimePoint::max() ? absl::InfiniteDuration()
                                   : absl::FromChrono(deadline - std::chrono::steady_clock::now());
  const absl::MutexLock lock(&mutex_);
  return mutex_.AwaitWithTimeout(absl::Condition(&is_none), timeout);
}

ServerState::ServerState(HttpServer::Args server_args)
    : args(std::move(server_args)), connections(args.limits) {}

absl::StatusOr<boost::asio::ssl::context> MakeTlsContext(const HttpServer::Tls& tls) {
  boost::asio::ssl::context context(boost::asio::ssl::context::tls_server);
  SSL_CTX* const native = context.native_handle();
  CHECK_EQ(SSL_CTX_set_min_proto_version(native, TLS1_2_VERSION), 1);
  SSL_CTX_set_options(native, SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_mode(native, SSL_MODE_RELEASE_BUFFERS);  // idle streams are many
  boost::system::error_code error;
  context.use_certificate_chain_file(tls.certificate_file, error);
  if (error) {
    return InvalidArgument(
        "%s: not a certificate in PEM: %s", tls.certificate_file, error.message());
  }
  context.use_private_key_file(tls.key_file, boost::asio::ssl::context::pem, error);
  if (error) {
    return InvalidArgument(
        "%s: not the PEM key of %s: %s", tls.key_file, tls.certificate_file, error.message());
  }
  return context;
}

}  // namespace hadal
