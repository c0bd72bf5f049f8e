#include "base/byte_size.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <system_error>

#include "base/check.h"

namespace hadal {
namespace {

struct Unit {
  std::string_view name;
  int64_t bytes;
};

constexpr std::array kBinaryUnits = {Unit{"TiB", int64_t{1} << 40U},
                                     Unit{"GiB", int64_t{1} << 30U},
                                     Unit{"MiB", int64_t{1} << 20U},
                                     Unit{"KiB", int64_t{1} << 10U},
                                     Unit{"", 1}};
constexpr std::array kDecimalUnits = {Unit{"kB", 1'000},
                                      Unit{"MB", 1'000'000},
                                      Unit{"GB", 1'000'000'000},
                                      Unit{"TB", 1'000'000'000'000}};

// Null for an unknown name.
const Unit* FindUnit(std::string_view name) {
  const auto has_name = [name](const Unit& unit) { return unit.name == name; };
  const auto* binary = std::find_if(kBinaryUnits.begin(), kBinaryUnits.end(), has_name);
  if (binary != kBinaryUnits.end()) {
    return binary;
  }
  const auto* decimal = std::find_if(kDecimalUnits.begin(), kDecimalUnits.end(), has_name);
  return decimal != kDecimalUnits.end() ? decimal : nullptr;
}

}  // namespace

absl::StatusOr<int64_t> ParseByteSize(std::string_view text) {
  int64_t number = 0;
  const auto [rest, error] = std::from_chars(text.begin(), text.end(), number);
  if (error == std::errc::result_out_of_range) {
    return OutOfRange("size \"%s\" is out of range", text);
  }
  const Unit* const unit = FindUnit({rest, text.end()});
  if (error != std::errc() || number < 0 || unit == nullptr) {
    return InvalidArgument(
        "size \"%s\": expected one such as 4GiB, 512MiB, 2GB, or a number of bytes", text);
  }
  if (number > std::numeric_limits<int64_t>::max() / unit->bytes) {
    return OutOfRange("size \"%s\" is out of range", text);
  }
  return number * unit->bytes;
}

std::string FormatByteSize(int64_t bytes) {
  CHECK_GE(bytes, 0);
  const auto* unit = std::find_if(kBinaryUnits.begin(), kBinaryUnits.end(), [bytes](const Unit& u) {
    return bytes % u.bytes == 0 && (bytes > 0 || u.bytes == 1);
  });
  return std::to_string(bytes / unit->bytes) + std::string(unit->name);
}

}  // namespace hadal
