#pragma once

#include "server/cli/exit_code.h"
#include "server/cli/options.h"

// The commands. Each prints its result to stdout, and errors to stderr.

namespace hadal {

/// Streams text as it is generated; with JSON, one object at the end.
ExitCode RunCommand(const GenerateOptions& options);

/// Shows family, layers, parameters, formats and a memory plan; allocates nothing of that size.
ExitCode RunCommand(const InspectOptions& options);

/// Shows ids and pieces.
ExitCode RunCommand(const TokenizeOptions& options);

/// Prints the text of ids, special tokens included.
ExitCode RunCommand(const DetokenizeOptions& options);

/// Log-probabilities of every token but the first, and the perplexity.
ExitCode RunCommand(const ScoreOptions& options);

}  // namespace hadal
