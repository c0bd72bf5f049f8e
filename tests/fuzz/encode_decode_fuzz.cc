// Arbitrary text through a small tokenizer: decode(encode(x)) == x, streaming equals decoding at
// once, and the stop matcher gives the same whatever the chunks.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <boost/json/serialize.hpp>

#include "base/check.h"
#include "base/utf8.h"
#include "engine/text/pattern_matcher.h"
#include "engine/text/stop_matcher.h"
#include "engine/text/stream_decoder.h"
#include "engine/text/tokenizer.h"
#include "tests/engine/text/small_tokenizer.h"

namespace hadal {
namespace {

boost::json::value SplitStep(std::string_view pattern) {
  return {
      {"type", "Split"}, {"pattern", {{"Regex", std::string(pattern)}}}, {"behavior", "Isolated"}};
}

Tokenizer MakeTokenizer(const std::vector<std::string>& patterns) {
  const std::vector<std::string> merges = {
      "a b", "ab a", "Ġ a", "1 2", "12 3", "Ġ Ġ", "ĠĠ ĠĠ", "ä ¸", "ä¸ Ń", "a a", "aa aa"};
  const std::vector<std::string> added = {"<s>", "</s>", "<think>"};
  boost::json::object json = SmallTokenizerJson(merges, added);
  boost::json::array steps;
  for (const std::string& pattern : patterns) {
    steps.push_back(SplitStep(pattern));
  }
  steps.push_back(
      {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", patterns.empty()}});
  json["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", steps}};
  absl::StatusOr<Tokenizer> tokenizer = Tokenizer::FromJson(boost::json::serialize(json));
  CHECK(tokenizer.ok());
  return *std::move(tokenizer);
}

void CheckRoundTrip(const Tokenizer& tokenizer, std::string_view text) {
  const absl::StatusOr<std::vector<TokenId>> ids = tokenizer.Encode(text);
  CHECK(ids.ok());
  for (const TokenId id : *ids) {
    CHECK(!tokenizer.IsAdded(id));
  }
  CHECK_EQ(Decode(tokenizer, *ids, SpecialTokens::kHide), text);
}

// Takes each byte as an id: bytes in any order, so invalid UTF-8 too.
void CheckStreaming(const Tokenizer& tokenizer, std::string_view bytes) {
  std::vector<TokenId> ids;
  StreamDecoder decoder(tokenizer, SpecialTokens::kShow);
  std::string streamed;
  for (const char byte : bytes) {
    ids.push_back(static_cast<uint8_t>(byte));
    streamed += decoder.Push(ids.back());
  }
  streamed += decoder.Finish();
  CHECK_EQ(streamed, Decode(tokenizer, ids, SpecialTokens::kShow));
  CHECK_EQ(streamed, ReplaceInvalidUtf8(bytes));
}

// The first two bytes give the sizes of two stop strings, which come next; then the text.
void CheckStopMatcher(std::string_view bytes) {
  if (bytes.size() < 2) {
    return;
  }
  std::vector<std::string> stops;
  const size_t sizes[] = {static_cast<size_t>(bytes[0] & 7), static_cast<size_t>(bytes[1] & 7)};
  const size_t chunk = sizes[0] + 1;
  bytes.remove_prefix(2);
  for (const size_t size : sizes) {
    if (size > 0 && size <= bytes.size()) {
      stops.emplace_back(bytes.substr(0, size));
      bytes.remove_prefix(size);
    }
  }
  size_t cut = bytes.size();
  for (const std::string& stop : stops) {
    cut = std::min(cut, bytes.find(stop));
  }
  absl::StatusOr<StopMatcher> matcher = StopMatcher::Create(stops);
  CHECK(matcher.ok());
  std::string passed;
  for (size_t at = 0; at < bytes.size(); at += chunk) {
    passed += matcher->Push(bytes.substr(at, chunk));
  }
  passed += matcher->Finish();
  CHECK_EQ(passed, bytes.substr(0, cut));
}

}  // namespace
}  // namespace hadal

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using hadal::Tokenizer;
  static const Tokenizer kTokenizers[] = {
      hadal::MakeTokenizer({}),
      hadal::MakeTokenizer(
          {"\\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", std::string(hadal::kDeepSeekV3Pattern)}),
      hadal::MakeTokenizer(
          {"[\r\n]", "\\s?[A-Za-z]+", "\\s?[!-/:-~！-／　-。]+", "\\s+$", "[一-龥]+"}),
  };
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::string text = hadal::ReplaceInvalidUtf8(bytes);
  for (const Tokenizer& tokenizer : kTokenizers) {
    hadal::CheckRoundTrip(tokenizer, text);
  }
  hadal::CheckStreaming(kTokenizers[0], bytes);
  hadal::CheckStopMatcher(bytes);
  return 0;
}
