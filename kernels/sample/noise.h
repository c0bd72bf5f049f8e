#pragma once

#include <cstdint>

#include "kernels/sample/strips.h"

namespace hadal {

// The random numbers of the race (race.h), in functions that a GPU's compiler takes too.

/// splitmix64 (Steele et al. 2014, doi 10.1145/2660193.2660195).
constexpr uint64_t SplitMix64(uint64_t x) {
  x += 0x9E3779B97F4A7C15ULL;
  x = (x ^ (x >> 30U)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27U)) * 0x94D049BB133111EBULL;
  return x ^ (x >> 31U);
}

/// Uniform in (0, 1) of the highest 52 bits: between the 2^52 numbers, so that neither it nor what
/// is left to 1 is ever 0. Exact.
constexpr double UniformOf(uint64_t bits) {
  return (static_cast<double>(bits >> 12U) + 0.5) * 0x1p-52;
}

/// The random bits of a place in a sequence. A strip's say how late its first token is, and which
/// one that is; a token's by how much it is later than the first of its strip.
class NoiseBits {
 public:
  constexpr NoiseBits(uint64_t seed, int64_t position)
      : token_key_(SplitMix64(SplitMix64(seed) ^ static_cast<uint64_t>(position))),
        strip_key_(SplitMix64(token_key_)) {}

  [[nodiscard]] constexpr uint64_t OfStrip(size_t strip) const {
    return SplitMix64(strip_key_ ^ strip);
  }
  [[nodiscard]] constexpr uint64_t OfToken(size_t token) const {
    return SplitMix64(token_key_ ^ token);
  }

 private:
  uint64_t token_key_;
  uint64_t strip_key_;
};

/// Which token of a strip has its least noise: bits that UniformOf leaves.
constexpr size_t QuietestToken(uint64_t strip_bits) {
  return strip_bits % kStripTokens;
}

/// Rounding moves an arrival by less than this part of it: who is late by more needs no closer
/// look.
inline constexpr double kArrivalRounding = 1 + 1e-9;

}  // namespace hadal
