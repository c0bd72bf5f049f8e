#include "engine/checkpoint/safetensors_file.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <tuple>
#include <utility>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include "base/checked_cast.h"
#include "base/json.h"

namespace hadal {
namespace {

constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the limit of the format's own library
constexpr std::string_view kMetadataKey = "__metadata__";

uint64_t ReadLittleEndian64(std::span<const std::byte> bytes) {
  uint64_t value = 0;
  for (size_t i = 0; i < kLengthBytes; ++i) {
    value |= std::to_integer<uint64_t>(bytes[i]) << (8 * i);
  }
  return value;
}

// The JSON text, after its length was checked against the file.
absl::StatusOr<std::string_view> HeaderText(std::span<const std::byte> file_prefix,
                                            uint64_t file_size) {
  if (file_size < kLengthBytes || file_prefix.size() < kLengthBytes) {
    return InvalidArgument("%d bytes are too few for a safetensors file", file_size);
  }
  const uint64_t length = ReadLittleEndian64(file_prefix);
  if (length > kMaxHeaderBytes) {
    return InvalidArgument(
        "header of %d bytes, more than the limit of %d", length, kMaxHeaderBytes);
  }
  if (length > file_size - kLengthBytes || length > file_prefix.size() - kLengthBytes) {
    return InvalidArgument("header of %d bytes in a file of %d bytes", length, file_size);
  }
  const std::span<const std::byte> text = file_prefix.subspan(kLengthBytes, length);
  return std::string_view(reinterpret_cast<const char*>(text.data()), text.size());
}

absl::Status ParseMetadata(const boost::json::value& value,
                           std::map<std::string, std::string>& metadata) {
  if (!value.is_object()) {
    return InvalidArgument("__metadata__: expected an object");
  }
  for (const auto& member : value.get_object()) {
    if (!member.value().is_string()) {
      return InvalidArgument("__metadata__: expected strings as values");
    }
    metadata.emplace(member.key(), member.value().get_string());
  }
  return absl::OkStatus();
}

std::optional<uint64_t> AsUnsigned(const boost::json::value& value) {
  if (const int64_t* number = value.if_int64()) {
    return *number >= 0 ? std::optional(static_cast<uint64_t>(*number)) : std::nullopt;
  }
  if (const uint64_t* number = value.if_uint64()) {
    return *number;
  }
  return std::nullopt;
}

absl::Status ParseShape(const boost::json::value& value, TensorEntry& entry) {
  if (!value.is_array()) {
    return InvalidArgument("shape: expected an array");
  }
  for (const boost::json::value& item : value.get_array()) {
    const int64_t* extent = item.if_int64();
    if (extent == nullptr || *extent < 0) {
      return InvalidArgument("shape: expected integers from 0 to 2^63 - 1");
    }
    entry.shape.push_back(*extent);
  }
  return absl::OkStatus();
}

absl::Status ParseOffsets(const boost::json::value& value, uint64_t data_size, TensorEntry& entry) {
  const boost::json::array* const offsets = value.if_array();
  if (offsets == nullptr || offsets->size() != 2) {
    return InvalidArgument("data_offsets: expected two integers");
  }
  const std::optional<uint64_t> begin = AsUnsigned((*offsets)[0]);
  const std::optional<uint64_t> end = AsUnsigned((*offsets)[1]);
  if (!begin || !end) {
    return InvalidArgument("data_offsets: expected two integers, not negative");
  }
  if (*begin > *end || *end > data_size) {
    return InvalidArgument("data_offsets [%d, %d]: not a range within the file's %d data bytes",
                           *begin,
                           *end,
                           data_size);
  }
  entry.begin = *begin;
  entry.end = *end;
  return absl::OkStatus();
}

// The bytes of a dense tensor; nothing when they do not fit in 64 bits.
std::optional<uint64_t> BytesOf(const TensorEntry& entry) {
  auto bytes = static_cast<uint64_t>(SizeOf(entry.dtype));
  for (const int64_t extent : entry.shape) {
    if (__builtin_mul_overflow(bytes, static_cast<uint64_t>(extent), &bytes)) {
      return std::nullopt;
    }
  }
  return bytes;
}

absl::Status ParseEntry(const boost::json::value& value, uint64_t data_size, TensorEntry& entry) {
  const boost::json::object* const object = value.if_object();
  const boost::json::value* const dtype = object ? object->if_contains("dtype") : nullptr;
  const boost::json::value* const shape = object ? object->if_contains("shape") : nullptr;
  const boost::json::value* const offsets = object ? object->if_contains("data_offsets") : nullptr;
  if (!dtype || !shape || !offsets || object->size() != 3) {
    return InvalidArgument("expected an object of dtype, shape and data_offsets alone");
  }
  if (!dtype->is_string()) {
    return InvalidArgument("dtype: expected a string");
  }
  const boost::json::string& name = dtype->get_string();
  const std::optional<DType> known = DTypeFromName({name.data(), name.size()});
  if (!known) {
    return InvalidArgument("unknown dtype \"%s\"", std::string_view(name.data(), name.size()));
  }
  entry.dtype = *known;
  RETURN_IF_ERROR(ParseShape(*shape, entry));
  RETURN_IF_ERROR(ParseOffsets(*offsets, data_size, entry));
  const std::optional<uint64_t> bytes = BytesOf(entry);
  if (!bytes || *bytes != entry.end - entry.begin) {
    return InvalidArgument(
        "data_offsets [%d, %d]: not the byte count of the shape", entry.begin, entry.end);
  }
  return absl::OkStatus();
}

// REQUIRES: `entries` in the order of their data.
absl::Status CheckCoverage(const std::vector<TensorEntry>& entries, uint64_t data_size) {
  uint64_t covered = 0;
  for (const TensorEntry& entry : entries) {
    if (entry.begin != covered) {
      return InvalidArgument("\"%s\": data begins at %d, but the tensors before it end at %d",
                             entry.name,
                             entry.begin,
                             covered);
    }
    covered = entry.end;
  }
  if (covered != data_size) {
    return InvalidArgument(
        "tensors end at data byte %d, but the file has %d data bytes", covered, data_size);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(std::span<const std::byte> file_prefix,
                                                         uint64_t file_size) {
  ASSIGN_OR_RETURN(const std::string_view text, HeaderText(file_prefix, file_size));
  absl::StatusOr<boost::json::value> header = ParseJson(text);
  if (!header.ok()) {
    return Annotate(header.status(), "header");
  }
  if (!header->is_object()) {
    return InvalidArgument("header: expected an object");
  }
  const uint64_t data_begin = kLengthBytes + text.size();
  const uint64_t data_size = file_size - data_begin;
  SafetensorsHeader result;
  std::vector<TensorEntry>& entries = result.tensors;
  entries.reserve(header->get_object().size());
  for (const auto& member : header->get_object()) {
    const std::string_view name(member.key().data(), member.key().size());
    if (name == kMetadataKey) {
      RETURN_IF_ERROR(ParseMetadata(member.value(), result.metadata));
      continue;
    }
    TensorEntry& entry = entries.emplace_back();
    entry.name = name;
    const absl::Status status = ParseEntry(member.value(), data_size, entry);
    if (!status.ok()) {
      return Annotate(status, absl::StrFormat("\"%s\"", name));
    }
  }
  std::sort(entries.begin(), entries.end(), [](const TensorEntry& a, const TensorEntry& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  RETURN_IF_ERROR(CheckCoverage(entries, data_size));
  for (TensorEntry& entry : entries) {
    entry.begin += data_begin;
    entry.end += data_begin;
  }
  return result;
}

absl::StatusOr<SafetensorsFile> SafetensorsFile::Open(const std::string& path) {
  ASSIGN_OR_RETURN(MappedFile file, MappedFile::Open(path));
  const std::span<const std::byte> bytes = file.bytes();
  absl::StatusOr<SafetensorsHeader> header = ParseSafetensorsHeader(bytes, bytes.size());
  if (!header.ok()) {
    return Annotate(header.status(), path);
  }
  std::vector<TensorInfo> tensors;
  tensors.reserve(header->tensors.size());
  for (TensorEntry& entry : header->tensors) {
    tensors.push_back({.name = std::move(entry.name),
                       .dtype = entry.dtype,
                       .shape = std::move(entry.shape),
                       .data = bytes.subspan(entry.begin, entry.end - entry.begin),
                       .file = path});
  }
  return SafetensorsFile{std::move(file), std::move(tensors), std::move(header->metadata)};
}

}  // namespace hadal
