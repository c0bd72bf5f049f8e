#include "server/grpc/key_check.h"

#include <cstddef>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <grpcpp/security/server_credentials.h>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/status.h"

namespace hadal {
namespace {

std::string_view TextOf(const grpc_slice& slice) {
  return {reinterpret_cast<const char*>(GRPC_SLICE_START_PTR(slice)), GRPC_SLICE_LENGTH(slice)};
}

// With its slash: a method of that service, whatever it is called.
constexpr std::string_view kPublicService = "/grpc.health.v1.Health/";

absl::Status CheckKey(const ApiKeys& keys, std::span<const grpc_metadata> metadata) {
  std::string_view path;
  std::optional<std::string_view> authorization;
  for (const grpc_metadata& entry : metadata) {
    const std::string_view key = TextOf(entry.key);
    if (key == ":path") {
      path = TextOf(entry.value);
    } else if (key == "authorization") {
      if (authorization.has_value()) {
        return Unauthenticated("authorization: there are two");
      }
      authorization = TextOf(entry.value);
    }
  }
  if (path.starts_with(kPublicService)) {
    return absl::OkStatus();
  }
  return keys.Authenticate(authorization.value_or("")).status();
}

// For grpc_auth_metadata_processor; `state` is the ApiKeys.
void Process(void* state,
             grpc_auth_context* /*context*/,
             const grpc_metadata* metadata,
             size_t num_metadata,
             grpc_process_auth_metadata_done_cb done,
             void* call) {
  const auto* const keys = static_cast<const ApiKeys*>(state);
  const absl::Status status = CheckKey(*keys, {metadata, num_metadata});
  const std::string message(status.message());
  done(call,
       nullptr,
       0,
       nullptr,
       0,
       static_cast<grpc_status_code>(status.raw_code()),
       status.ok() ? nullptr : message.c_str());
}

// gRPC's own class of credentials without TLS takes no processor, though what it makes could.
class InsecureCredentials final : public grpc::ServerCredentials {
 public:
  explicit InsecureCredentials(const ApiKeys& keys) : keys_(keys) {}

  void SetAuthMetadataProcessor(
      const std::shared_ptr<grpc::AuthMetadataProcessor>& /*processor*/) override {
    CHECK(false);  // the processor is ours
  }

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override {
    grpc_server_credentials* const credentials = grpc_insecure_server_credentials_create();
    grpc_server_credentials_set_auth_metadata_processor(
        credentials,
        {.process = Process, .destroy = nullptr, .state = const_cast<ApiKeys*>(&keys_)});
    const int port = grpc_server_add_http2_port(server, address.c_str(), credentials);
    grpc_server_credentials_release(credentials);
    return port;
  }

  const ApiKeys& keys_;
};

}  // namespace

std::shared_ptr<grpc::ServerCredentials> KeyCheckCredentials(const ApiKeys& keys) {
  return std::make_shared<InsecureCredentials>(keys);
}

}  // namespace hadal
