#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

namespace hadal {

/// A strip is 64 tokens with ids in a row, the last one those that remain: what the highest logit
/// of a strip rules out needs no look at its tokens.
inline constexpr size_t kStripTokens = 64;

inline size_t NumStrips(size_t vocab_size) {
  return (vocab_size + kStripTokens - 1) / kStripTokens;
}

/// The part of `values`, one for each token, that belongs to `strip`.
template <typename T>
std::span<T> StripOf(std::span<T> values, size_t strip) {
  const size_t begin = strip * kStripTokens;
  return values.subspan(begin, std::min(kStripTokens, values.size() - begin));
}

/// The highest of `values`; -inf without any but NaN.
float HighestOf(std::span<const float> values);

/// The sum of `values`, taken in the same order everywhere.
double SumOf(std::span<const float> values);

}  // namespace hadal
