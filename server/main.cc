// The program: parses the command line and runs one command.

#include <span>
#include <variant>

#include "server/cli/commands.h"
#include "server/cli/exit_code.h"
#include "server/cli/parse_arguments.h"

int main(int argc, char** argv) {
  const auto parsed = hadal::ParseArguments(std::span(argv, static_cast<size_t>(argc)));
  if (const auto* exit_code = std::get_if<hadal::ExitCode>(&parsed)) {
    return static_cast<int>(*exit_code);
  }
  const auto run = [](const auto& options) { return hadal::RunCommand(options); };
  return static_cast<int>(hadal::Finish(std::visit(run, std::get<hadal::Command>(parsed))));
}
