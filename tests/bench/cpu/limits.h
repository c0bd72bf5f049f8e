#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace hadal::bench {

/// What this machine can do at most, with a number of threads at once; each figure is the median of
/// some short runs.
struct Limits {
  double read_bytes_per_second;   // memory, far beyond any cache
  double float_ops_per_second;    // fused multiply-add of floats, two operations each
  double int8_ops_per_second;     // products of int8, by the best instructions there are
  std::string int8_instructions;  // "AMX", "VNNI", "AVX2" or "none"
};

Limits MeasureLimits(int32_t num_threads);

/// Loops of one instruction set: each runs `iterations` times and returns the operations done.
/// REQUIRES: the machine has the instructions.
double RunFloatAvx2(int64_t iterations);
double RunInt8Avx2(int64_t iterations);
double RunFloatAvx512(int64_t iterations);
double RunInt8Vnni(int64_t iterations);
double RunInt8Amx(int64_t iterations);

}  // namespace hadal::bench
