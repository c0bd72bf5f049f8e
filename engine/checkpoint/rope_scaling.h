#pragma once

#include <cstdint>
#include <optional>

#include <boost/json/object.hpp>

#include "base/status.h"

namespace hadal {

/// YaRN context extension (arXiv 2309.00071), the words as in config.json `rope_scaling`.
struct YarnScaling {
  double factor = 1;
  int64_t original_max_position_embeddings = 0;
  double beta_fast = 32;
  double beta_slow = 1;
  std::optional<double> mscale;
  std::optional<double> mscale_all_dim;
  std::optional<double> attention_factor;
  bool truncate = true;  // whether the ramp's ends are rounded to whole dimensions

  friend bool operator==(const YarnScaling&, const YarnScaling&) = default;
};

/// The rotary embedding of a model.
struct RopeConfig {
  double theta = 10000;
  std::optional<YarnScaling> scaling;  // nothing: plain RoPE
};

/// Reads the rotary keys of a config.json: top-level `rope_theta` with `rope_scaling`
/// {"type" or "rope_type": …}, or the newer `rope_parameters` that holds all of them, or both when
/// they agree. InvalidArgument names the key; Unimplemented for a type other than "yarn" and
/// "default" and for keys that would change the embedding in a way Hadal does not know.
absl::StatusOr<RopeConfig> ParseRopeConfig(const boost::json::object& config);

}  // namespace hadal
