#pragma once

#include <span>
#include <variant>

#include "server/cli/exit_code.h"
#include "server/cli/options.h"

namespace hadal {

/// The command that `arguments` (the program's argv) asks for; or, when help or the version was
/// asked for or the usage is wrong, what the program should exit with, after printing.
std::variant<Command, ExitCode> ParseArguments(std::span<char* const> arguments);

}  // namespace hadal
