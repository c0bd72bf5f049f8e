#pragma once

// Expected failures: absl::Status and absl::StatusOr<T>, returned and never thrown.
//
// Example:
//   absl::StatusOr<Config> ReadConfig(const std::string& path) {
//     ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
//     if (text.empty()) {
//       return InvalidArgument("%s: empty file", path);
//     }
//     RETURN_IF_ERROR(CheckUtf8(text));
//     ...
//   }

#include <string>
#include <string_view>
#include <utility>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/strings/str_format.h>

namespace hadal {

/// The message of `status` as a standard string view, valid as long as `status` lives.
inline std::string_view MessageOf(const absl::Status& status) {
  return {status.message().data(), status.message().size()};
}

/// `status` with "context: " in front of its message and the same code; OK stays OK.
absl::Status Annotate(const absl::Status& status, std::string_view context);

/// One constructor for each code that Hadal returns; `format` is checked at compile time.
template <typename... Args>
absl::Status InvalidArgument(const absl::FormatSpec<Args...>& format, const Args&... args) {
  return absl::InvalidArgumentError(absl::StrFormat(format, args...));
}
template <typename... Args>
absl::Status NotFound(const absl::FormatSpec<Args...>& format, const Args&... args) {
  return absl::NotFoundError(absl::StrFormat(format, args...));
}
template <typename... Args>
absl::Status OutOfRange(const absl::FormatSpec<Args...>& format, const Args&... args) {
  return absl::OutOfRangeError(absl::StrFormat(format, args...));
}
template <typename... Args>
absl::Status ResourceExhausted(const absl::FormatSpec<Args...>& format, const Args&... args) {
  return absl::ResourceExhaustedError(absl::StrFormat(format, args...));
}
template <typename... Args>
absl::Status AlreadyExists(const absl::FormatSpec<Args...>& format, const Args&... args) {
  return absl::AlreadyExistsError(absl::StrFormat(format, args...));
}
template <typename... Args>
absl::Status Unavailable(const absl::FormatSpec<Args...>& format, const Args&... args) {
  return absl::UnavailableError(absl::StrFormat(format, args...));
}
template <typename... Args>
absl::Status Unauthenticated(const absl::FormatSpec<Args...>& format, const Args&... args) {
  return absl::UnauthenticatedError(absl::StrFormat(format, args...));
}
template <typename... Args>
absl::Status PermissionDenied(const absl::FormatSpec<Args...>& format, const Args&... args) {
  return absl::PermissionDeniedError(absl::StrFormat(format, args...));
}
template <typename... Args>
absl::Status DeadlineExceeded(const absl::FormatSpec<Args...>& format, const Args&... args) {
  return absl::DeadlineExceededError(absl::StrFormat(format, args...));
}
template <typename... Args>
absl::Status Cancelled(const absl::FormatSpec<Args...>& format, const Args&... args) {
  return absl::CancelledError(absl::StrFormat(format, args...));
}
template <typename... Args>
absl::Status Unimplemented(const absl::FormatSpec<Args...>& format, const Args&... args) {
  return absl::UnimplementedError(absl::StrFormat(format, args...));
}
template <typename... Args>
absl::Status Internal(const absl::FormatSpec<Args...>& format, const Args&... args) {
  return absl::InternalError(absl::StrFormat(format, args...));
}

}  // namespace hadal

#define HADAL_CONCAT_INNER(a, b) a##b
#define HADAL_CONCAT(a, b) HADAL_CONCAT_INNER(a, b)

/// Returns from the enclosing function when `expression`, an absl::Status, is not OK.
#define RETURN_IF_ERROR(expression)           \
  do {                                        \
    absl::Status hadal_status = (expression); \
    if (!hadal_status.ok())                   \
      return hadal_status;                    \
  } while (false)

/// `ASSIGN_OR_RETURN(declaration, expression)`: the value of the absl::StatusOr<T> `expression`
/// goes to `declaration`; an error returns from the enclosing function.
#define ASSIGN_OR_RETURN(declaration, ...) \
  HADAL_ASSIGN_OR_RETURN_INNER(HADAL_CONCAT(hadal_status_or_, __LINE__), declaration, __VA_ARGS__)
#define HADAL_ASSIGN_OR_RETURN_INNER(temporary, declaration, ...) \
  auto temporary = (__VA_ARGS__);                                 \
  if (!temporary.ok())                                            \
    return std::move(temporary).status();                         \
  declaration = *std::move(temporary)
