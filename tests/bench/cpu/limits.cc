#include "tests/bench/cpu/limits.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <thread>

#include "kernels/cpu/vector_kernels.h"
#include "kernels/device.h"

namespace hadal::bench {
namespace {

constexpr int kNumRuns = 5;

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// The sum of what `work(thread)` returns on each of the threads, by the time all took.
double RateOf(int32_t num_threads, const std::function<double(int32_t thread)>& work) {
  std::vector<double> rates;
  for (int run = 0; run < kNumRuns; ++run) {
    std::vector<double> amounts(static_cast<size_t>(num_threads));
    std::vector<std::thread> threads;
    const auto start = std::chrono::steady_clock::now();
    for (int32_t i = 0; i < num_threads; ++i) {
      threads.emplace_back([&, i] { amounts[static_cast<size_t>(i)] = work(i); });
    }
    for (std::thread& thread : threads) {
      thread.join();
    }
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
    double sum = 0;
    for (const double amount : amounts) {
      sum += amount;
    }
    rates.push_back(sum / time.count());
  }
  return Median(rates);
}

// Reads each of kStreams parts of the memory from its begin on, a line of each at a time: more than
// one stream is needed to keep a core's read buffers full.
double ReadMemory(const uint64_t* data, size_t num_words) {
  constexpr size_t kStreams = 4;
  constexpr size_t kLineWords = 8;
  constexpr size_t kAhead = 256;  // words
  const size_t part = num_words / kStreams / kLineWords * kLineWords;
  std::array<uint64_t, kLineWords> sums = {};
  for (size_t i = 0; i < part; i += kLineWords) {
    for (size_t s = 0; s < kStreams; ++s) {
      const uint64_t* line = data + s * part + i;
      __builtin_prefetch(line + kAhead);
      for (size_t j = 0; j < kLineWords; ++j) {
        sums[j] += line[j];
      }
    }
  }
  uint64_t sum = 0;
  for (const uint64_t value : sums) {
    sum += value;
  }
  asm volatile("" : : "r"(sum));
  return static_cast<double>(part * kStreams * sizeof(uint64_t));
}

double MeasureRead(int32_t num_threads) {
  constexpr size_t kBytes = size_t{1} << 30U;
  auto buffer = DeviceBuffer::Allocate(CpuDevice(), kBytes);
  if (!buffer.ok()) {
    return 0;
  }
  auto* words = static_cast<uint64_t*>(buffer->data());
  const size_t num_words = kBytes / sizeof(uint64_t);
  std::fill_n(words, num_words, 1);
  const size_t share = num_words / static_cast<size_t>(num_threads);
  return RateOf(num_threads, [&](int32_t thread) {
    return ReadMemory(words + static_cast<size_t>(thread) * share, share);
  });
}

}  // namespace

Limits MeasureLimits(int32_t num_threads) {
  Limits limits = {.read_bytes_per_second = MeasureRead(num_threads),
                   .float_ops_per_second = 0,
                   .int8_ops_per_second = 0,
                   .int8_instructions = "none"};
#ifdef __x86_64__
  constexpr int64_t kIterations = 4'000'000;
  const auto rate = [num_threads](double (*run)(int64_t), int64_t iterations) {
    return RateOf(num_threads, [=](int32_t /*thread*/) { return run(iterations); });
  };
  if (cpu::IsSupported(cpu::Isa::kAvx512)) {
    limits.float_ops_per_second = rate(&RunFloatAvx512, kIterations);
    limits.int8_ops_per_second = rate(&RunInt8Vnni, kIterations);
    limits.int8_instructions = "VNNI";
  } else if (cpu::IsSupported(cpu::Isa::kAvx2)) {
    limits.float_ops_per_second = rate(&RunFloatAvx2, kIterations);
    limits.int8_ops_per_second = rate(&RunInt8Avx2, kIterations);
    limits.int8_instructions = "AVX2";
  }
  if (cpu::IsSupported(cpu::Isa::kAmx)) {
    limits.int8_ops_per_second = rate(&RunInt8Amx, kIterations / 4);
    limits.int8_instructions = "AMX";
  }
#endif
  return limits;
}

}  // namespace hadal::bench
