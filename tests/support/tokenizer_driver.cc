// Encodes or decodes on behalf of tests/e2e/tokenizer_parity_test.py.
//
//   tokenizer_driver encode TOKENIZER_JSON   stdin: strings, stdout: ids
//   tokenizer_driver decode TOKENIZER_JSON   stdin: ids, stdout: strings (special tokens shown)
//
// All numbers are little-endian uint32. A string is its number of bytes, then the bytes; ids are
// their number, then the ids. stderr gets "load_s SECONDS work_s SECONDS", without the time to read
// and write.

#include <chrono>
#include <cstdint>
#include <cstring>
#include <iostream>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/text/stream_decoder.h"
#include "engine/text/tokenizer.h"

namespace hadal {
namespace {

std::optional<uint32_t> TakeNumber(std::string_view& input) {
  uint32_t number = 0;
  if (input.size() < sizeof(number)) {
    return std::nullopt;
  }
  std::memcpy(&number, input.data(), sizeof(number));
  input.remove_prefix(sizeof(number));
  return number;
}

void AppendNumber(uint32_t number, std::string& output) {
  output.append(reinterpret_cast<const char*>(&number), sizeof(number));
}

double SecondsSince(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

absl::Status EncodeAll(const Tokenizer& tokenizer, std::string_view input, std::string& output) {
  while (const std::optional<uint32_t> num_bytes = TakeNumber(input)) {
    ASSIGN_OR_RETURN(const std::vector<TokenId> ids, tokenizer.Encode(input.substr(0, *num_bytes)));
    input.remove_prefix(*num_bytes);
    AppendNumber(static_cast<uint32_t>(ids.size()), output);
    for (const TokenId id : ids) {
      AppendNumber(static_cast<uint32_t>(id), output);
    }
  }
  return absl::OkStatus();
}

void DecodeAll(const Tokenizer& tokenizer, std::string_view input, std::string& output) {
  while (const std::optional<uint32_t> num_ids = TakeNumber(input)) {
    std::vector<TokenId> ids;
    for (uint32_t i = 0; i < *num_ids; ++i) {
      ids.push_back(static_cast<TokenId>(TakeNumber(input).value_or(0)));
    }
    const std::string text = Decode(tokenizer, ids, SpecialTokens::kShow);
    AppendNumber(static_cast<uint32_t>(text.size()), output);
    output.append(text);
  }
}

absl::Status Run(std::string_view mode, const std::string& path) {
  const auto load_begin = std::chrono::steady_clock::now();
  ASSIGN_OR_RETURN(const Tokenizer tokenizer, Tokenizer::FromFile(path));
  std::cerr << "load_s " << SecondsSince(load_begin);
  const std::string input(std::istreambuf_iterator<char>(std::cin), {});
  std::string output;
  const auto work_begin = std::chrono::steady_clock::now();
  if (mode == "encode") {
    RETURN_IF_ERROR(EncodeAll(tokenizer, input, output));
  } else {
    DecodeAll(tokenizer, input, output);
  }
  std::cerr << " work_s " << SecondsSince(work_begin) << "\n";
  std::cout.write(output.data(), static_cast<std::streamsize>(output.size()));
  return absl::OkStatus();
}

}  // namespace
}  // namespace hadal

int main(int argc, char** argv) {
  const std::string_view mode = argc == 3 ? argv[1] : "";
  if (mode != "encode" && mode != "decode") {
    std::cerr << "usage: tokenizer_driver encode|decode TOKENIZER_JSON\n";
    return 2;
  }
  const absl::Status status = hadal::Run(mode, argv[2]);
  if (!status.ok()) {
    std::cerr << status << "\n";
    return 1;
  }
  return 0;
}
