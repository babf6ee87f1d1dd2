//===- TokenIds.h - token ids in configuration files ------------*- C++ -*-===//
#pragma once

#include "sinter/Support/Status.h"

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

namespace sinter::models {

/// A token id; absent or null is no id.
Result<std::optional<int64_t>> getTokenId(const nlohmann::json &object, const char *key,
                                          const std::string &where);

/// One token id or a list of them; absent or null is an empty list.
Result<std::vector<int64_t>> getTokenIds(const nlohmann::json &object, const char *key,
                                         const std::string &where);

} // namespace sinter::models
