//===- RopeConfig.h - the rotary part of config.json ------------*- C++ -*-===//
#pragma once

#include "models/ModelConfig.h"

#include <nlohmann/json_fwd.hpp>

namespace sinter::models {

/// Fills ropeTheta and ropeScaling from either spelling. Needs maxPositionEmbeddings.
Status parseRope(const nlohmann::json &root, const std::string &fileName, ModelConfig &config);

} // namespace sinter::models
