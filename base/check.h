#pragma once

// Broken invariants: CHECK prints the expression, its values and the place, then aborts. It stays
// on in release builds. Never use it on input from outside: that is what base/status.h is for.

#include <sstream>
#include <string>

namespace hadal {

/// Prints "file:line: CHECK failed: what" to stderr and aborts.
[[noreturn]] void CheckFailed(const char* file, int line, const std::string& what);

template <typename A, typename B>
[[noreturn]] void CheckOpFailed(
    const char* file, int line, const char* expression, const A& a, const B& b) {
  std::ostringstream what;
  what << expression << " (" << a << " vs. " << b << ")";
  CheckFailed(file, line, what.str());
}

}  // namespace hadal

#define CHECK(condition)                                    \
  do {                                                      \
    if (!(condition)) [[unlikely]] {                        \
      ::hadal::CheckFailed(__FILE__, __LINE__, #condition); \
    }                                                       \
  } while (false)

#define HADAL_CHECK_OP(a, op, b)                                                                   \
  do {                                                                                             \
    const auto& hadal_check_a = (a);                                                               \
    const auto& hadal_check_b = (b);                                                               \
    if (!(hadal_check_a op hadal_check_b)) [[unlikely]] {                                          \
      ::hadal::CheckOpFailed(__FILE__, __LINE__, #a " " #op " " #b, hadal_check_a, hadal_check_b); \
    }                                                                                              \
  } while (false)

#define CHECK_EQ(a, b) HADAL_CHECK_OP(a, ==, b)
#define CHECK_NE(a, b) HADAL_CHECK_OP(a, !=, b)
#define CHECK_LT(a, b) HADAL_CHECK_OP(a, <, b)
#define CHECK_LE(a, b) HADAL_CHECK_OP(a, <=, b)
#define CHECK_GT(a, b) HADAL_CHECK_OP(a, >, b)
#define CHECK_GE(a, b) HADAL_CHECK_OP(a, >=, b)

/// For inner loops: a CHECK in debug builds, nothing otherwise.
#ifdef NDEBUG
#define DCHECK(condition) static_cast<void>(0)
#else
#define DCHECK(condition) CHECK(condition)
#endif
