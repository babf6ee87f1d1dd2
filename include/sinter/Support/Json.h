//===- Json.h - JSON text to values, errors to Status -----------*- C++ -*-===//
//
// A thin layer over nlohmann::json: nothing throws, and every error is one line naming the file and
// the key. Only for targets built with exceptions; headers that MLIR code includes stay free of it.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "sinter/Support/Status.h"

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace sinter {

enum class JsonKeys {
  LastWins, ///< the standard's reading of a repeated key, and the faster one
  Unique,   ///< a repeated key is an error
};

/// Nesting deeper than this is refused: nothing Sinter reads comes near it.
constexpr int kMaxJsonDepth = 64;

/// Parses `text`; `what` names the text in errors (`config.json`).
Result<nlohmann::json> parseJson(std::string_view text, const std::string &what,
                                 JsonKeys keys = JsonKeys::LastWins);

struct IntRange {
  int64_t min = std::numeric_limits<int64_t>::min();
  int64_t max = std::numeric_limits<int64_t>::max();
};
constexpr IntRange kPositive = {1, std::numeric_limits<int64_t>::max()};
constexpr IntRange kNonNegative = {0, std::numeric_limits<int64_t>::max()};

/// Typed getters. `where` names the object in errors, as in
///   config.json: "num_hidden_layers": expected a positive integer, got "x"
/// An absent or null key yields `fallback`, or an error when there is none.
Result<int64_t> getInt(const nlohmann::json &object, const char *key, const std::string &where,
                       std::optional<int64_t> fallback = std::nullopt, IntRange range = {});
/// Integers are accepted; a number that overflows to infinity never parses.
Result<double> getDouble(const nlohmann::json &object, const char *key, const std::string &where,
                         std::optional<double> fallback = std::nullopt);
Result<bool> getBool(const nlohmann::json &object, const char *key, const std::string &where,
                     std::optional<bool> fallback = std::nullopt);
Result<std::string> getString(const nlohmann::json &object, const char *key,
                              const std::string &where,
                              std::optional<std::string> fallback = std::nullopt);

/// True when `object` has `key` with a value other than null.
bool hasValue(const nlohmann::json &object, const char *key);

/// A value as messages show it: compact JSON, cut after about 60 characters.
std::string describeValue(const nlohmann::json &value);

/// The error `where: "key": expected <expected>, got <value>`.
Status unexpectedValue(const std::string &where, std::string_view key, const std::string &expected,
                       const nlohmann::json &value);

/// Text from a file in quotes for a one-line message: control bytes as \xNN, cut after about 200.
std::string quoteForMessage(std::string_view text);

} // namespace sinter
