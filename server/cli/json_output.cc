#include "server/cli/json_output.h"

#include <cmath>
#include <cstdio>
#include <string>

#include <boost/json/serialize.hpp>

#include "base/utf8.h"

namespace hadal {

void PrintJson(const boost::json::value& value) {
  std::printf("%s\n", boost::json::serialize(value).c_str());
}

boost::json::value JsonNumber(double number) {
  return std::isfinite(number) ? boost::json::value(number) : boost::json::value(nullptr);
}

std::string PieceText(const Tokenizer& tokenizer, TokenId token) {
  return ReplaceInvalidUtf8(tokenizer.Piece(token));
}

std::string QuotedPiece(const Tokenizer& tokenizer, TokenId token) {
  return boost::json::serialize(boost::json::string(PieceText(tokenizer, token)));
}

}  // namespace hadal
