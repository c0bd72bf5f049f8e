#pragma once

namespace hadal {

struct ExecutionContext;

/// One op of one back end. Calling it checks the arguments' shapes (a mismatch is a broken
/// invariant) and runs the implementation; implementations hold no checks of their own.
template <typename Args>
struct Kernel {
  using Function = void (*)(const Args& args, ExecutionContext& context);

  const char* implementation = nullptr;  // "reference", "cpu-avx512", …
  Function function = nullptr;

  void operator()(const Args& args, ExecutionContext& context) const {
    Validate(args);
    function(args, context);
  }
};

/// Whether an op overwrites its output or adds to what is there.
enum class Output : signed char { kStore, kAdd };

}  // namespace hadal
