#include "server/http/chunked_body.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

namespace hadal {
namespace {

using std::string_literals::operator""s;
using State = ChunkedBody::State;

struct Decoded {
  State state = State::kMore;
  std::string body;
  size_t num_taken = 0;
};

// `step` bytes come at a time.
Decoded Decode(std::string_view bytes, size_t step) {
  ChunkedBody chunks;
  Decoded result;
  size_t given = 0;
  while (chunks.state() == State::kMore && result.num_taken < bytes.size()) {
    given = std::min(std::max(given, result.num_taken) + step, bytes.size());
    while (chunks.state() == State::kMore && result.num_taken < given) {
      const ChunkedBody::Piece piece =
          chunks.Take(bytes.substr(result.num_taken, given - result.num_taken));
      EXPECT_GT(piece.num_bytes, 0U);
      result.num_taken += piece.num_bytes;
      result.body += piece.data;
    }
  }
  result.state = chunks.state();
  return result;
}

TEST(ChunkedBody, Complete) {
  struct Case {
    std::string bytes;
    std::string body;
  };
  const std::vector<Case> cases = {
      {"0\r\n\r\n", ""},
      {"000\r\n\r\n", ""},
      {"4\r\nWiki\r\n5\r\npedia\r\n0\r\n\r\n", "Wikipedia"},
      {"a\r\n0123456789\r\n0\r\n\r\n", "0123456789"},
      {"A\r\n0123456789\r\n0\r\n\r\n", "0123456789"},
      {"000000000000001\r\nx\r\n0\r\n\r\n", "x"},
      {"2\r\n\r\n\r\n0\r\n\r\n", "\r\n"},
      {"1;a=b\r\nx\r\n0;c\r\n\r\n", "x"},
      {"1;a=\"b;c\"\r\nx\r\n0\r\n\r\n", "x"},
      {"1\r\nx\r\n0\r\nA: b\r\nC: d\r\n\r\n", "x"},
      {"1\r\nx\r\n0\r\nContent-Length: 7\r\n\r\n", "x"},
      {"1\r\n\0\r\n0\r\n\r\n"s, "\0"s},
  };
  for (const Case& test : cases) {
    for (const size_t step : {size_t{1}, size_t{2}, size_t{7}, size_t{1000}}) {
      const Decoded decoded = Decode(test.bytes + "GET /", step);
      EXPECT_EQ(decoded.state, State::kComplete) << testing::PrintToString(test.bytes);
      EXPECT_EQ(decoded.body, test.body);
      EXPECT_EQ(decoded.num_taken, test.bytes.size()) << "what follows is not its own";
    }
  }
}

TEST(ChunkedBody, Incomplete) {
  const std::string whole = "1;a\r\nx\r\n0\r\nA: b\r\n\r\n";
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_EQ(Decode(whole.substr(0, size), 1).state, State::kMore) << size;
  }
}

TEST(ChunkedBody, Malformed) {
  const std::vector<std::string> cases = {"\r\n",
                                          ";a\r\n",
                                          "g\r\n",
                                          "-1\r\n",
                                          "+1\r\n",
                                          " 1\r\n",
                                          "1 \r\n",
                                          "1\t;a\r\n",
                                          "0x1\r\n",
                                          "1\n",
                                          "1\rx",
                                          "1\r\r\n",
                                          "1;a\n",
                                          "1;a\rb",
                                          "1;\0\r\n"s,
                                          "1;\x7F\r\n",
                                          "1\r\nxx",
                                          "1\r\nx\n",
                                          "1\r\nx\rx",
                                          "1\r\nx\r\n\r\n",
                                          "1\r\nx0\r\n",
                                          "0\r\n\n",
                                          "0\r\n\rx",
                                          "0\r\nA: b\n",
                                          "0\r\nA: b\rx",
                                          "0\r\n A: b\r\n",
                                          "0\r\n\tA: b\r\n",
                                          "0\r\n: b\r\n",
                                          "0\r\nA: \0\r\n"s,
                                          "0\r\n\0"s,
                                          "0000000000000001\r\n",
                                          "ffffffffffffffff\r\n",
                                          "10000000000000000\r\n",
                                          "fffffffffffffffffffffffffffffffff\r\n"};
  for (const std::string& bytes : cases) {
    for (const size_t step : {size_t{1}, size_t{3}, size_t{1000}}) {
      EXPECT_EQ(Decode(bytes, step).state, State::kMalformed) << testing::PrintToString(bytes);
    }
  }
}

TEST(ChunkedBody, ExtrasAreBounded) {
  const auto with_extension = [](size_t size) {
    return "1;" + std::string(size - 1, 'a') + "\r\nx\r\n0\r\n\r\n";
  };
  EXPECT_EQ(Decode(with_extension(4096), 1000).state, State::kComplete);
  EXPECT_EQ(Decode(with_extension(4097), 1000).state, State::kMalformed);
  const auto with_trailer = [](size_t size) {
    return "0\r\nA:" + std::string(size - 2, 'a') + "\r\n\r\n";
  };
  EXPECT_EQ(Decode(with_trailer(4096), 1000).state, State::kComplete);
  EXPECT_EQ(Decode(with_trailer(4097), 1000).state, State::kMalformed);
  std::string many;
  for (int i = 0; i < 4096; ++i) {
    many += "1;\r\nx\r\n";
  }
  EXPECT_EQ(Decode(many + "0\r\n\r\n", 1000).state, State::kComplete);
  EXPECT_EQ(Decode(many + "0;\r\n\r\n", 1000).state, State::kMalformed) << "all together";
}

TEST(ChunkedBody, AnnouncesSizesBeforeTheyCome) {
  ChunkedBody chunks;
  EXPECT_EQ(chunks.Take("10").num_bytes, 2U);
  EXPECT_EQ(chunks.num_announced(), 0);
  chunks.Take("\r\n");
  EXPECT_EQ(chunks.num_announced(), 16);
  EXPECT_EQ(chunks.Take("0123456789abcdef\r\n").data, "0123456789abcdef");
  chunks.Take("\r\n");
  chunks.Take("fffffffffffffff\r\n");
  EXPECT_EQ(chunks.num_announced(), 16 + 0xfffffffffffffff);
  EXPECT_EQ(chunks.state(), State::kMore);
}

TEST(ChunkedBody, NothingBehindTheEndIsTaken) {
  ChunkedBody chunks;
  EXPECT_EQ(chunks.Take("0\r\n\r\nGET").num_bytes, 5U);
  EXPECT_EQ(chunks.Take("GET").num_bytes, 0U);
  EXPECT_EQ(chunks.state(), State::kComplete);
}

}  // namespace
}  // namespace hadal
