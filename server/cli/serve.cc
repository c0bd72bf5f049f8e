#include <cstdio>
#include <string>

#include "base/log.h"
#include "server/cli/commands.h"

namespace hadal {

absl::Status RunCommand(const ServeOptions& options) {
  SetLogLevel(options.config.operations.log_level);
  std::printf("%s", options.effective_yaml.c_str());
  for (const std::string& warning : ConfigWarnings(options.config)) {
    Log(LogLevel::kWarning, warning);
  }
  return Unimplemented("this build does not serve");
}

}  // namespace hadal
