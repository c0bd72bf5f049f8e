// A tokenizer.json made of arbitrary bytes: refused, or loaded and then usable.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "engine/text/stream_decoder.h"
#include "engine/text/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::StatusOr<hadal::Tokenizer> tokenizer =
      hadal::Tokenizer::FromJson({reinterpret_cast<const char*>(data), size});
  if (!tokenizer.ok()) {
    return 0;
  }
  // A leading blank, so that a tokenizer that adds one has nothing to add.
  const std::string text = " The 123 中文\u3000\r\n  <think>é\u0301 👍  ";
  const absl::StatusOr<std::vector<hadal::TokenId>> ids = tokenizer->Encode(text);
  CHECK(ids.ok());
  for (const hadal::TokenId id : *ids) {
    CHECK(!tokenizer->IsAdded(id));
  }
  CHECK_EQ(hadal::Decode(*tokenizer, *ids, hadal::SpecialTokens::kShow), text);
  return 0;
}
