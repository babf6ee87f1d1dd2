//===- JsonReader.h - fields of the metadata, checked -----------*- C++ -*-===//
//
// A Reader keeps the first error: a field after an error is not looked at, and code that uses it
// reads like the format it parses.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "sinter/Support/DType.h"
#include "sinter/Support/Json.h"
#include "sinter/Support/Status.h"

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace sinter {

class Reader {
public:
  Reader(const nlohmann::json &object, std::string where, Status &status)
      : object_(object), where_(std::move(where)), status_(status) {
    if (status_.isOk() && !object.is_object())
      status_ = invalidInput(where_ + ": expected an object, got " + describeValue(object));
  }

  uint64_t integer(const char *key, IntRange range,
                   std::optional<int64_t> fallback = std::nullopt) {
    return ok() ? uint64_t(keep(getInt(object_, key, where_, fallback, range))) : 0;
  }
  double number(const char *key, std::optional<double> fallback = std::nullopt) {
    return ok() ? keep(getDouble(object_, key, where_, fallback)) : 0;
  }
  bool boolean(const char *key, std::optional<bool> fallback = std::nullopt) {
    return ok() && keep(getBool(object_, key, where_, fallback));
  }
  std::string string(const char *key, std::optional<std::string> fallback = std::nullopt) {
    return ok() ? keep(getString(object_, key, where_, std::move(fallback))) : std::string();
  }
  DType dtype(const char *key) {
    const std::string text = string(key);
    const std::optional<DType> parsed = parseDType(text);
    if (ok() && !parsed)
      fail(key, "expected an element type, got " + quoteForMessage(text));
    return parsed.value_or(DType::F32);
  }
  /// f32, bf16 or f16.
  DType activationType(const char *key) {
    const DType parsed = dtype(key);
    require(isActivationType(parsed), key, "expected f32, bf16 or f16");
    return parsed;
  }
  /// One of `names`: its index.
  size_t choice(const char *key, std::initializer_list<const char *> names) {
    const std::string text = string(key);
    const auto found = std::find(names.begin(), names.end(), text);
    if (ok() && found == names.end())
      fail(key, "unknown value " + quoteForMessage(text));
    return ok() ? size_t(found - names.begin()) : 0;
  }
  /// Calls each(element, where) for the elements of an array; a missing key is an error.
  template <typename Each> void array(const char *key, Each each) {
    if (!ok())
      return;
    const auto found = object_.find(key);
    if (found == object_.end() || !found->is_array())
      return fail(key, "expected an array");
    for (size_t i = 0; i < found->size() && ok(); ++i)
      each((*found)[i], where_ + ": " + key + "[" + std::to_string(i) + "]");
  }
  std::vector<uint64_t> integers(const char *key, IntRange range) {
    std::vector<uint64_t> values;
    array(key, [&](const nlohmann::json &element, const std::string &where) {
      const bool valid = element.is_number_integer() && element.get<int64_t>() >= range.min &&
                         element.get<int64_t>() <= range.max;
      if (!valid)
        status_ = unexpectedValue(where_, key, "integers in range", element);
      else
        values.push_back(uint64_t(element.get<int64_t>()));
    });
    return values;
  }
  std::vector<std::string> strings(const char *key) {
    std::vector<std::string> values;
    array(key, [&](const nlohmann::json &element, const std::string &where) {
      if (!element.is_string())
        status_ = unexpectedValue(where_, key, "strings", element);
      else
        values.push_back(element.get<std::string>());
    });
    return values;
  }
  const nlohmann::json &child(const char *key) {
    static const nlohmann::json kEmpty = nlohmann::json::object();
    const auto found = object_.find(key);
    if (found != object_.end())
      return *found;
    if (ok())
      fail(key, "missing");
    return kEmpty;
  }
  bool has(const char *key) const { return ok() && hasValue(object_, key); }
  void fail(const char *key, const std::string &why) {
    if (ok())
      status_ = invalidInput(where_ + ": \"" + key + "\": " + why);
  }
  void require(bool condition, const char *key, const char *why) {
    if (!condition)
      fail(key, why);
  }
  bool ok() const { return status_.isOk(); }
  const std::string &where() const { return where_; }
  Status &status() { return status_; }

private:
  template <typename T> T keep(Result<T> result) {
    if (result.isOk())
      return *std::move(result);
    status_ = result.status();
    return {};
  }

  const nlohmann::json &object_;
  std::string where_;
  Status &status_;
};

} // namespace sinter
