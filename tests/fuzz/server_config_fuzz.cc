// Any bytes go to the reader of configuration files; what it accepts, printed, reads back the same.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "server/config/config_file.h"
#include "server/config/config_value.h"

namespace hadal {
namespace {

void CheckText(std::string_view text) {
  EffectiveConfig config;
  if (!ApplyConfigText(text, "fuzz.yaml", config).ok()) {
    return;
  }
  EffectiveConfig again;
  const absl::Status status = ApplyConfigText(config.ToYaml(), "again.yaml", again);
  CHECK_EQ(status.ToString(), "OK");
  for (const ConfigKey& key : ConfigKeys()) {
    CHECK(CheckValue(key, config.config()).ok());
    CHECK_EQ(YamlOf(key, again.config()), YamlOf(key, config.config()));
  }
  const absl::Status valid = ValidateServerConfig(config.config());
  CHECK_EQ(ValidateServerConfig(again.config()).ToString(), valid.ToString());
  if (valid.ok()) {
    CHECK_EQ(ConfigWarnings(again.config()).size(), ConfigWarnings(config.config()).size());
  }
}

}  // namespace
}  // namespace hadal

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  hadal::CheckText({reinterpret_cast<const char*>(data), size});
  return 0;
}
