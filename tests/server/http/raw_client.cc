#include "tests/server/http/raw_client.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "base/check.h"
#include "server/http/http_message.h"

namespace hadal {
namespace {

constexpr timeval kPatience = {.tv_sec = 20, .tv_usec = 0};

template <typename T, void (*Free)(T*)>
struct Freed {
  void operator()(T* pointer) const { Free(pointer); }
};

}  // namespace

std::optional<std::string> RawResponse::Find(std::string_view name) const {
  std::string_view rest = head;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find("\r\n"), rest.size());
    const std::string_view line = rest.substr(0, end);
    const size_t colon = line.find(": ");
    if (colon != std::string_view::npos && EqualsIgnoringCase(line.substr(0, colon), name)) {
      return std::string(line.substr(colon + 2));
    }
    rest.remove_prefix(std::min(end + 2, rest.size()));
  }
  return std::nullopt;
}

void RawClient::FreeTls::operator()(ssl_st* tls) const {
  SSL_free(tls);
}

std::string RawClient::tls_version() const {
  return SSL_get_version(tls_.get());
}

RawClient::RawClient(uint16_t port, Kind kind, int receive_buffer_bytes) {
  socket_ = socket(AF_INET, SOCK_STREAM, 0);
  CHECK(socket_ >= 0);
  if (receive_buffer_bytes > 0) {
    setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes, sizeof(receive_buffer_bytes));
  }
  const int yes = 1;
  setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
  setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof(kPatience));
  setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof(kPatience));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  connected_ = connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  if (connected_ && kind == Kind::kTls) {
    std::signal(SIGPIPE, SIG_IGN);  // OpenSSL writes to its sockets without MSG_NOSIGNAL
    SSL_CTX* const context = SSL_CTX_new(TLS_client_method());
    tls_.reset(SSL_new(context));
    SSL_CTX_free(context);
    SSL_set_fd(tls_.get(), socket_);
    connected_ = SSL_connect(tls_.get()) == 1;
  }
}

RawClient::~RawClient() {
  if (socket_ >= 0) {
    close(socket_);
  }
}

bool RawClient::Send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t num_bytes =
        tls_ != nullptr ? SSL_write(tls_.get(), bytes.data(), static_cast<int>(bytes.size()))
                        : send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (num_bytes <= 0) {
      return false;
    }
    bytes.remove_prefix(static_cast<size_t>(num_bytes));
  }
  return true;
}

bool RawClient::ReadMore() {
  std::array<char, 16384> buffer;
  const ssize_t num_bytes =
      tls_ != nullptr ? SSL_read(tls_.get(), buffer.data(), static_cast<int>(buffer.size()))
                      : recv(socket_, buffer.data(), buffer.size(), 0);
  if (num_bytes < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
    ADD_FAILURE() << "the server sent nothing for 20 seconds";
  }
  if (num_bytes <= 0) {
    return false;
  }
  input_.append(buffer.data(), static_cast<size_t>(num_bytes));
  return true;
}

std::optional<std::string> RawClient::TakeBytes(size_t num_bytes) {
  while (input_.size() < num_bytes) {
    if (!ReadMore()) {
      return std::nullopt;
    }
  }
  std::string bytes = input_.substr(0, num_bytes);
  input_.erase(0, num_bytes);
  return bytes;
}

std::string RawClient::ReadUntil(std::string_view text) {
  size_t found = input_.find(text);
  while (found == std::string::npos) {
    if (!ReadMore()) {
      return std::exchange(input_, {});
    }
    found = input_.find(text);
  }
  return *TakeBytes(found + text.size());
}

std::string RawClient::ReadToEnd() {
  while (ReadMore()) {
  }
  return std::exchange(input_, {});
}

// False when the connection ends before the last chunk.
bool RawClient::ReadChunks(std::string& body) {
  for (;;) {
    const std::string line = ReadUntil("\r\n");
    if (!line.ends_with("\r\n")) {
      return false;
    }
    const size_t size = std::stoul(line, nullptr, 16);
    const std::optional<std::string> data = TakeBytes(size + 2);
    if (!data.has_value()) {
      return false;
    }
    EXPECT_TRUE(data->ends_with("\r\n"));
    if (size == 0) {
      return true;
    }
    body.append(*data, 0, size);
  }
}

RawResponse RawClient::ReadResponse(std::string_view method) {
  RawResponse response;
  response.head = ReadUntil("\r\n\r\n");
  if (!response.head.ends_with("\r\n\r\n")) {
    return response;
  }
  response.head.resize(response.head.size() - 4);
  CHECK(response.head.starts_with("HTTP/1.1 "));
  response.status = std::stoi(response.head.substr(9, 3));
  if (method == "HEAD" || response.status < 200 || response.status == 204 ||
      response.status == 304) {
    response.complete = true;
    return response;
  }
  if (response.Find("transfer-encoding") == "chunked") {
    response.complete = ReadChunks(response.body);
  } else if (response.Find("content-length").has_value()) {
    const std::optional<std::string> body = TakeBytes(std::stoul(*response.Find("content-length")));
    response.complete = body.has_value();
    response.body = body.value_or("");
  } else {
    response.body = ReadToEnd();
    response.complete = true;
  }
  return response;
}

RawResponse RawClient::Call(std::string_view bytes) {
  Send(bytes);
  return ReadResponse(bytes.substr(0, bytes.find(' ')));
}

void RawClient::ShutdownSend() {
  shutdown(socket_, SHUT_WR);
}

void RawClient::Reset() {
  const linger at_once = {.l_onoff = 1, .l_linger = 0};
  setsockopt(socket_, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  close(std::exchange(socket_, -1));
}

CertificateFiles MakeCertificate(const std::string& folder) {
  const CertificateFiles files = {.certificate_file = folder + "/certificate.pem",
                                  .key_file = folder + "/key.pem"};
  const std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY, EVP_PKEY_free>> key(EVP_EC_gen("P-256"));
  const std::unique_ptr<X509, Freed<X509, X509_free>> certificate(X509_new());
  X509_set_version(certificate.get(), 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), 0);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 3600);
  X509_set_pubkey(certificate.get(), key.get());
  X509_NAME* const name = X509_get_subject_name(certificate.get());
  X509_NAME_add_entry_by_txt(
      name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("localhost"), -1, -1, 0);
  X509_set_issuer_name(certificate.get(), name);
  CHECK(X509_sign(certificate.get(), key.get(), EVP_sha256()) > 0);

  const auto write = [](const std::string& path, auto write_to) {
    std::FILE* const file = std::fopen(path.c_str(), "w");
    CHECK(file != nullptr);
    CHECK_EQ(write_to(file), 1);
    CHECK_EQ(std::fclose(file), 0);
  };
  write(files.certificate_file,
        [&](std::FILE* file) { return PEM_write_X509(file, certificate.get()); });
  write(files.key_file, [&](std::FILE* file) {
    return PEM_write_PrivateKey(file, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  });
  return files;
}

}  // namespace hadal
