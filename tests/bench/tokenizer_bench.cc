// Speed of the tokenizer on the DeepSeek-V3 vocabulary.

#include <benchmark/benchmark.h>

#include "base/check.h"
#include "base/mapped_file.h"
#include "engine/text/tokenizer.h"

namespace hadal {
namespace {

constexpr const char* kTokenizerFile =
    HADAL_SOURCE_DIR "/tests/data/deepseek-v3-tokenizer/tokenizer.json";

const Tokenizer& V3Tokenizer() {
  static const auto kTokenizer = Tokenizer::FromFile(kTokenizerFile);
  CHECK(kTokenizer.ok());
  return *kTokenizer;
}

void BM_Load(benchmark::State& state) {
  for (auto _ : state) {
    benchmark::DoNotOptimize(Tokenizer::FromFile(kTokenizerFile));
  }
}
BENCHMARK(BM_Load)->Unit(benchmark::kMillisecond);

void Encode(benchmark::State& state, const std::string& text) {
  const Tokenizer& tokenizer = V3Tokenizer();
  for (auto _ : state) {
    benchmark::DoNotOptimize(tokenizer.Encode(text));
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(text.size()));
}

// This repository's own documents: English and C++.
void BM_EncodeText(benchmark::State& state) {
  std::string text;
  for (const char* file : {"/README.md", "/docs/architecture.md", "/engine/text/tokenizer.cc"}) {
    const auto part = ReadTextFile(std::string(HADAL_SOURCE_DIR) + file, size_t{1} << 20U);
    CHECK(part.ok());
    text += *part;
  }
  Encode(state, text);
}
BENCHMARK(BM_EncodeText);

void BM_EncodeOneRepeatedCharacter(benchmark::State& state) {
  Encode(state, std::string(size_t{1} << 20U, 'a'));
}
BENCHMARK(BM_EncodeOneRepeatedCharacter)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace hadal
