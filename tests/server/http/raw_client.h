#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

struct ssl_st;  // OpenSSL's SSL

namespace hadal {

/// What came as one response. Chunks are put together.
struct RawResponse {
  int32_t status = 0;
  std::string head;  // with its status line, without the empty line
  std::string body;
  bool complete = false;  // the body ended as its framing says

  /// The value of a header, whose name is compared without regard to case.
  [[nodiscard]] std::optional<std::string> Find(std::string_view name) const;
};

/// A synchronous client that sends any bytes and takes responses apart. A call that waits 20
/// seconds in vain fails the test and ends the connection.
class RawClient {
 public:
  enum class Kind { kPlain, kTls };

  /// Connects to loopback; `receive_buffer_bytes` is the kernel's, 0 for its default.
  explicit RawClient(uint16_t port) : RawClient(port, Kind::kPlain, 0) {}
  RawClient(uint16_t port, Kind kind, int receive_buffer_bytes);
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;
  ~RawClient();

  /// False when the server is gone.
  bool Send(std::string_view bytes);

  /// A response; `method` HEAD has no body. Interim ones (1xx) are responses too.
  RawResponse ReadResponse(std::string_view method);
  RawResponse ReadResponse() { return ReadResponse("GET"); }

  /// Sends and reads.
  RawResponse Call(std::string_view bytes);

  /// All up to and with `text`; what there was when the connection ended before.
  std::string ReadUntil(std::string_view text);

  /// All that comes until the connection ends.
  std::string ReadToEnd();

  /// Ends the sending half.
  void ShutdownSend();

  /// Ends the connection with a reset.
  void Reset();

  /// TLS only: "TLSv1.3".
  [[nodiscard]] std::string tls_version() const;

  /// Whether connection and handshake succeeded.
  [[nodiscard]] bool connected() const { return connected_; }

 private:
  struct FreeTls {
    void operator()(ssl_st* tls) const;
  };

  bool ReadMore();
  bool ReadChunks(std::string& body);
  std::optional<std::string> TakeBytes(size_t num_bytes);

  int socket_ = -1;
  bool connected_ = false;
  std::unique_ptr<ssl_st, FreeTls> tls_;
  std::string input_;
};

/// A certificate for "localhost" and its key, as PEM files in `folder`.
struct CertificateFiles {
  std::string certificate_file;
  std::string key_file;
};
CertificateFiles MakeCertificate(const std::string& folder);

}  // namespace hadal
