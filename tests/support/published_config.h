#pragma once

#include <string>

#include "engine/checkpoint/model_config.h"

namespace hadal {

/// The path of the config of a published model, "deepseek-v3" and so on.
std::string PublishedConfigPath(const std::string& model);

/// The parsed file. REQUIRES: there is one and Hadal supports the model.
ModelConfig ReadPublishedConfig(const std::string& model);

}  // namespace hadal
