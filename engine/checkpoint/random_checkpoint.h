#pragma once

#include <cstdint>
#include <string>

#include <boost/json/object.hpp>

#include "base/status.h"
#include "engine/checkpoint/checkpoint.h"

namespace hadal {

/// The config.json of a small model with the features of DeepSeek-V3 (latent attention, a dense
/// layer, then mixture-of-experts layers with grouped sigmoid routing; no MTP layer): about 7
/// million parameters in bf16, a context of 16384 tokens.
boost::json::object RandomModelConfig();

/// Writes `dir`/config.json and `dir`/model.safetensors: every tensor that `config` asks for, in
/// its dtype, gate biases in float32. Norms are 1; the rest is normal, with scales that keep
/// activations near 1 and logits near 2. A value depends on the seed, the tensor's name and its
/// place in it alone. `dir` exists. The errors of ParseModelConfig; ResourceExhausted when a file
/// cannot be written. REQUIRES: `config` is bf16 or f32 and not quantised.
absl::Status WriteRandomCheckpoint(const boost::json::object& config,
                                   uint64_t seed,
                                   const std::string& dir);

/// The same as an open checkpoint: it is written to a fresh temporary folder, mapped, and the
/// folder is removed before this returns, whatever it returns. The errors of WriteRandomCheckpoint
/// and of Checkpoint::Open.
absl::StatusOr<Checkpoint> MakeRandomCheckpoint(const boost::json::object& config, uint64_t seed);

}  // namespace hadal
