//===- NamedConfigs.h - the public configurations, built in -----*- C++ -*-===//
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sinter::models {

/// The config.json text of a published size ("qwen3-0.6b"); none for an unknown name.
std::optional<std::string_view> findNamedConfig(std::string_view name);

/// All names, smallest model first.
std::vector<std::string_view> namedConfigs();

} // namespace sinter::models
