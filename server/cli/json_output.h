#pragma once

#include <string>

#include <boost/json/value.hpp>

#include "base/token_id.h"
#include "engine/text/tokenizer.h"

namespace hadal {

/// Prints `value` and a newline to stdout.
void PrintJson(const boost::json::value& value);

/// `number`, or null when it is not finite, which JSON cannot say.
boost::json::value JsonNumber(double number);

/// The token's bytes as text, U+FFFD for bytes that are not UTF-8.
std::string PieceText(const Tokenizer& tokenizer, TokenId token);

/// The same between double quotes, escaped: one printable line.
std::string QuotedPiece(const Tokenizer& tokenizer, TokenId token);

}  // namespace hadal
