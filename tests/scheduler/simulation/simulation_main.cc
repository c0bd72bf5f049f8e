// hadal-sim: runs the scheduler's simulation for chosen seeds.
//
//   hadal-sim --seed 17 --trace          one life, step by step
//   hadal-sim --seed 0 --seeds 500       many, one after the other
//
// Ends with SIGABRT, naming the seed, at the first broken invariant.

#include <charconv>
#include <cstdio>
#include <cstring>
#include <span>
#include <string_view>

#include "tests/scheduler/simulation/simulation.h"

namespace {

template <typename Number>
bool Parse(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

int Usage() {
  std::fprintf(stderr, "usage: hadal-sim [--seed N] [--seeds COUNT] [--steps COUNT] [--trace]\n");
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  hadal::test::SimulationOptions options;
  int64_t num_seeds = 1;
  const std::span<char*> arguments(argv, static_cast<size_t>(argc));
  for (size_t i = 1; i < arguments.size(); ++i) {
    const std::string_view name = arguments[i];
    if (name == "--trace") {
      options.trace = true;
      continue;
    }
    if (++i == arguments.size()) {
      return Usage();
    }
    const std::string_view value = arguments[i];
    const bool ok = name == "--seed"    ? Parse(value, options.seed)
                    : name == "--seeds" ? Parse(value, num_seeds)
                    : name == "--steps" ? Parse(value, options.num_steps)
                                        : false;
    if (!ok) {
      return Usage();
    }
  }
  for (int64_t i = 0; i < num_seeds; ++i, ++options.seed) {
    const hadal::test::SimulationResult result = hadal::test::Simulate(options);
    std::printf("%s\n", hadal::test::Describe(options, result).c_str());
  }
  return 0;
}
