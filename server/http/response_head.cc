#include "server/http/response_head.h"

#include <algorithm>
#include <array>

#include <absl/strings/ascii.h>
#include <boost/beast/http/status.hpp>

#include "base/check.h"

namespace hadal {
namespace {

constexpr std::array<std::string_view, 6> kOwnHeaders = {
    "connection", "content-length", "content-type", "date", "transfer-encoding", "x-request-id"};

void AppendHeader(std::string_view name, std::string_view value, std::string& head) {
  head.append(name).append(": ");
  for (const char c : value) {
    head.push_back(absl::ascii_iscntrl(static_cast<unsigned char>(c)) ? ' ' : c);
  }
  head.append("\r\n");
}

bool IsTokenCharacter(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_';
}

}  // namespace

std::string_view ReasonPhrase(int32_t status) {
  const auto reason =
      boost::beast::http::obsolete_reason(static_cast<boost::beast::http::status>(status));
  return reason.starts_with('<') ? "Unknown" : std::string_view(reason.data(), reason.size());
}

std::string FormatResponseHead(const ResponseHeadArgs& args) {
  std::string head = "HTTP/1.1 " + std::to_string(args.response.status) + " ";
  head.append(ReasonPhrase(args.response.status)).append("\r\n");
  AppendHeader("Date", args.date, head);
  if (!args.response.content_type.empty() && args.framing != BodyFraming::kNoBody) {
    AppendHeader("Content-Type", args.response.content_type, head);
  }
  for (const HttpHeader& header : args.response.headers) {
    CHECK(!header.name.empty());
    CHECK(std::all_of(header.name.begin(), header.name.end(), IsTokenCharacter));
    if (std::none_of(kOwnHeaders.begin(), kOwnHeaders.end(), [&header](std::string_view own) {
          return EqualsIgnoringCase(header.name, own);
        })) {
      AppendHeader(header.name, header.value, head);
    }
  }
  AppendHeader("x-request-id", args.request_id, head);
  if (args.framing == BodyFraming::kContentLength) {
    AppendHeader("Content-Length", std::to_string(args.content_length), head);
  } else if (args.framing == BodyFraming::kChunked) {
    AppendHeader("Transfer-Encoding", "chunked", head);
  }
  if (args.fate == ConnectionFate::kClosed) {
    AppendHeader("Connection", "close", head);
  } else if (args.fate == ConnectionFate::kKeptAndSaid) {
    AppendHeader("Connection", "keep-alive", head);
  }
  head.append("\r\n");
  return head;
}

}  // namespace hadal
