#include "engine/checkpoint/tensor_check.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <unordered_set>
#include <utility>

#include <absl/strings/str_join.h>

#include "base/check.h"

namespace hadal {
namespace {

constexpr size_t kMaxListedProblems = 8;

class ProblemList {
 public:
  void Add(std::string problem) {
    if (problems_.size() < kMaxListedProblems) {
      problems_.push_back(std::move(problem));
    }
    ++count_;
  }

  [[nodiscard]] absl::Status ToStatus() const {
    if (count_ == 0) {
      return absl::OkStatus();
    }
    std::string text = absl::StrJoin(problems_, "; ");
    if (count_ > problems_.size()) {
      text += absl::StrFormat("; and %d more problems", count_ - problems_.size());
    }
    return InvalidArgument("%s", text);
  }

 private:
  std::vector<std::string> problems_;
  size_t count_ = 0;
};

const TensorInfo* FindTensor(const TensorsByName& tensors, std::string_view name) {
  const auto found = tensors.find(name);
  return found == tensors.end() ? nullptr : found->second;
}

// "file: "name"", how each problem of a tensor that is there begins.
std::string Place(const TensorInfo& tensor) {
  return absl::StrFormat("%s: \"%s\"", tensor.file, tensor.name);
}

std::string DescribeShape(const std::vector<int64_t>& shape) {
  return absl::StrFormat("[%s]", absl::StrJoin(shape, ", "));
}

bool IsPlainFloat(DType dtype) {
  return dtype == DType::kBf16 || dtype == DType::kF16 || dtype == DType::kF32;
}

bool AllowsDType(TensorRole role, DType dtype) {
  switch (role) {
    case TensorRole::kFp8Matrix:
      return IsPlainFloat(dtype) || dtype == DType::kFp8E4m3;
    case TensorRole::kMatrix:
    case TensorRole::kNorm:
    case TensorRole::kGateBias:
      return IsPlainFloat(dtype);
    case TensorRole::kBlockScale:
      return dtype == DType::kF32;
  }
  CHECK(false);
}

std::string_view AllowedDTypes(TensorRole role) {
  switch (role) {
    case TensorRole::kFp8Matrix:
      return "F8_E4M3, BF16, F16 or F32";
    case TensorRole::kMatrix:
    case TensorRole::kNorm:
    case TensorRole::kGateBias:
      return "BF16, F16 or F32";
    case TensorRole::kBlockScale:
      return "F32";
  }
  CHECK(false);
}

void CheckScaleValues(const TensorInfo& scale, ProblemList& problems) {
  for (size_t offset = 0; offset < scale.data.size(); offset += sizeof(float)) {
    float value = 0;
    std::memcpy(&value, scale.data.data() + offset, sizeof(value));  // data may be unaligned
    if (!std::isfinite(value) || value < 0) {
      problems.Add(absl::StrFormat(
          "%s: scale %d is %g, expected finite and not negative", Place(scale), offset / 4, value));
      return;
    }
  }
}

void CheckFound(const ExpectedTensor& expected, const TensorInfo& found, ProblemList& problems) {
  if (!AllowsDType(expected.role, found.dtype)) {
    problems.Add(absl::StrFormat("%s: expected dtype %s, found %s",
                                 Place(found),
                                 AllowedDTypes(expected.role),
                                 NameOf(found.dtype)));
  } else if (found.shape != expected.shape) {
    problems.Add(absl::StrFormat("%s: expected shape %s, found %s",
                                 Place(found),
                                 DescribeShape(expected.shape),
                                 DescribeShape(found.shape)));
  } else if (expected.role == TensorRole::kBlockScale) {
    CheckScaleValues(found, problems);
  }
}

// A scale and its matrix: both, when the matrix is fp8, or the matrix alone.
void CheckScalePresence(const ExpectedTensor& expected,
                        const TensorInfo* scale,
                        const TensorsByName& tensors,
                        ProblemList& problems) {
  const std::string_view matrix_name = MatrixNameOfScale(expected.name);
  const TensorInfo* const matrix = FindTensor(tensors, matrix_name);
  const bool is_fp8 = matrix != nullptr && matrix->dtype == DType::kFp8E4m3;
  if (is_fp8 && scale == nullptr) {
    problems.Add(
        absl::StrFormat("%s: F8_E4M3 without its scale \"%s\"", Place(*matrix), expected.name));
  }
  if (!is_fp8 && scale != nullptr) {
    problems.Add(
        absl::StrFormat("%s: a scale, but \"%s\" is not F8_E4M3", Place(*scale), matrix_name));
  }
}

void ListUnknown(const std::vector<ExpectedTensor>& expected,
                 const TensorsByName& tensors,
                 ProblemList& problems) {
  std::unordered_set<std::string_view> known;
  for (const ExpectedTensor& tensor : expected) {
    known.insert(tensor.name);
  }
  std::vector<const TensorInfo*> unknown;
  for (const auto& [name, tensor] : tensors) {
    if (!known.contains(name)) {
      unknown.push_back(tensor);
    }
  }
  std::sort(unknown.begin(), unknown.end(), [](const TensorInfo* a, const TensorInfo* b) {
    return a->name < b->name;
  });
  for (const TensorInfo* tensor : unknown) {
    problems.Add(absl::StrFormat("%s: not a tensor of this model", Place(*tensor)));
  }
}

// transformers can keep a layer's experts in two tensors; published checkpoints do not.
absl::Status CheckExpertsAreApart(const TensorsByName& tensors) {
  for (const auto& [name, tensor] : tensors) {
    if (name.ends_with(".mlp.experts.gate_up_proj") || name.ends_with(".mlp.experts.down_proj")) {
      return Unimplemented(
          "%s: experts fused into one tensor are not supported; Hadal reads the published layout, "
          "\"….mlp.experts.0.gate_proj.weight\" and so on",
          Place(*tensor));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckTensors(const std::vector<ExpectedTensor>& expected,
                          const TensorsByName& tensors) {
  RETURN_IF_ERROR(CheckExpertsAreApart(tensors));
  ProblemList problems;
  size_t num_found = 0;
  for (const ExpectedTensor& tensor : expected) {
    const TensorInfo* const found = FindTensor(tensors, tensor.name);
    if (tensor.role == TensorRole::kBlockScale) {
      CheckScalePresence(tensor, found, tensors, problems);
    } else if (found == nullptr && tensor.presence == TensorPresence::kRequired) {
      problems.Add(absl::StrFormat(
          "\"%s\": missing, expected shape %s", tensor.name, DescribeShape(tensor.shape)));
    }
    if (found != nullptr) {
      ++num_found;
      CheckFound(tensor, *found, problems);
    }
  }
  if (num_found < tensors.size()) {
    ListUnknown(expected, tensors, problems);
  }
  return problems.ToStatus();
}

}  // namespace hadal
