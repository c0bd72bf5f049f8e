#include "tests/support/published_config.h"

#include "base/check.h"

namespace hadal {

std::string PublishedConfigPath(const std::string& model) {
  return std::string(HADAL_SOURCE_DIR) + "/tests/engine/checkpoint/configs/" + model + ".json";
}

ModelConfig ReadPublishedConfig(const std::string& model) {
  const absl::StatusOr<ModelConfig> config = ReadModelConfig(PublishedConfigPath(model));
  CHECK(config.ok());
  return *config;
}

}  // namespace hadal
