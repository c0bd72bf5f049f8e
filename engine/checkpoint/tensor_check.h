#pragma once

#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "engine/checkpoint/safetensors_file.h"
#include "engine/checkpoint/weight_map.h"

namespace hadal {

/// Tensors by name. Borrows them: keys and values point into a list that must not change.
using TensorsByName = std::unordered_map<std::string_view, const TensorInfo*>;

/// Compares a checkpoint's tensors with `expected`, which comes from ListExpectedTensors, and reads
/// the values of block scales. InvalidArgument lists the first problems, each with file and tensor,
/// and counts the rest: a tensor missing, unknown, of another shape or of a dtype that its role
/// does not allow; an fp8 matrix without scale or the reverse; a scale that is NaN, infinite or
/// negative. Unimplemented when the experts of a layer are fused into one tensor.
absl::Status CheckTensors(const std::vector<ExpectedTensor>& expected,
                          const TensorsByName& tensors);

}  // namespace hadal
