#pragma once

#include "base/status.h"
#include "server/cli/options.h"

// The commands. Each prints its result to stdout; exit_code.h says what becomes of errors.

namespace hadal {

/// Streams text as it is generated; with JSON, one object at the end.
absl::Status RunCommand(const GenerateOptions& options);

/// Shows family, layers, parameters, formats and a memory plan; allocates nothing of that size.
absl::Status RunCommand(const InspectOptions& options);

/// Shows ids and pieces.
absl::Status RunCommand(const TokenizeOptions& options);

/// Prints the text of ids, special tokens included.
absl::Status RunCommand(const DetokenizeOptions& options);

/// Log-probabilities of every token but the first, and the perplexity.
absl::Status RunCommand(const ScoreOptions& options);

/// Throughput and latency of scheduler and engine under a made-up load.
absl::Status RunCommand(const BenchOptions& options);

/// Serves a model over HTTP until it is told to stop.
absl::Status RunCommand(const ServeOptions& options);

/// Holds every op of the chosen kernels against its reference on this machine. Internal when one
/// fails, after all are printed.
absl::Status RunCommand(const DoctorOptions& options);

/// Packs a checkpoint's weights ahead of time, and measures what that costs in quality.
/// Unavailable, after all is printed, when the packed file cannot be written.
absl::Status RunCommand(const QuantizeOptions& options);

}  // namespace hadal
