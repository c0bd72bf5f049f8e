#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "base/token_id.h"
#include "engine/text/byte_alphabet.h"

namespace hadal {

/// A tokenizer.json with a piece for each byte b at id b, then one for each of `merges` ("a b"),
/// then `added` tokens, of which the first two are special. Tests change it where they need to.
inline boost::json::object SmallTokenizerJson(std::span<const std::string> merges,
                                              std::span<const std::string> added) {
  boost::json::object vocab;
  const ByteAlphabet alphabet;
  for (int64_t byte = 0; byte < 256; ++byte) {
    vocab[std::string(alphabet.CharOf(static_cast<uint8_t>(byte)))] = byte;
  }
  boost::json::array merge_list;
  for (const std::string& merge : merges) {
    const size_t blank = merge.find(' ');
    vocab[merge.substr(0, blank) + merge.substr(blank + 1)] = static_cast<int64_t>(vocab.size());
    merge_list.emplace_back(merge);
  }
  boost::json::array added_list;
  for (const std::string& content : added) {
    added_list.push_back({{"id", static_cast<int64_t>(vocab.size() + added_list.size())},
                          {"content", content},
                          {"special", added_list.size() < 2}});
  }
  return {
      {"added_tokens", added_list},
      {"normalizer", nullptr},
      {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}}},
      {"decoder", {{"type", "ByteLevel"}}},
      {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", merge_list}}}};
}

/// The text of the small tokenizer that most tests use: ids 256 "ab", 257 "abc", 258 " ab",
/// 259 "bc", 260 "aa", 261 to 266 added (261 and 262 special).
inline std::string SmallTokenizerText() {
  const std::vector<std::string> merges = {"a b", "ab c", "Ġ ab", "b c", "a a"};
  const std::vector<std::string> added = {"<｜begin▁of▁sentence｜>",
                                          "<｜end▁of▁sentence｜>",
                                          "<｜User｜>",
                                          "<｜Assistant｜>",
                                          "<think>",
                                          "</think>"};
  return boost::json::serialize(SmallTokenizerJson(merges, added));
}

}  // namespace hadal
