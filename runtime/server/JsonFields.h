//===- JsonFields.h - the fields of a request, one by one -------*- C++ -*-===//
#pragma once

#include "runtime/server/ApiError.h"

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace sinter {

/// Keeps the order of keys: it shows in prompts and in grammars.
using OrderedJson = nlohmann::ordered_json;

/// The first thing that was wrong with a request.
using FirstError = std::optional<ApiError>;

/// A request body, which must be one object. Repeated keys, nesting deeper than 64, more than 2048
/// keys in an object, numbers beyond a double and text that is not UTF-8 are errors.
OrderedJson parseBody(std::string_view text, FirstError &error);

/// Reads an object field by field. A field that is null counts as not given. After an error the
/// getters return their fallbacks, and the first error stays.
class JsonFields {
public:
  /// `path` names the object in errors: "", "messages[0]".
  JsonFields(const OrderedJson &object, std::string path, FirstError &error);

  /// The value of a field; null when it is not given.
  const OrderedJson *find(const char *name);
  bool has(const char *name) { return find(name) != nullptr; }

  bool boolean(const char *name, bool fallback);
  double number(const char *name, double fallback, double min, double max);
  int64_t integer(const char *name, int64_t fallback, int64_t min, int64_t max);
  std::string text(const char *name, const std::string &fallback);
  /// A string that must be there.
  std::string requiredText(const char *name);

  /// Accepted whatever its value, and without effect.
  void harmless(const char *name) { known_.insert(name); }
  /// The error for a field of the wrong kind or range.
  void expected(const char *name, const std::string &what);
  void fail(const std::string &name, const std::string &message,
            const std::string &code = "invalid_value");
  void failWith(ApiError error) {
    if (!error_)
      error_ = std::move(error);
  }
  /// Every field that nobody has asked for is an error. The last call.
  void finish();

  std::string pathOf(const std::string &name) const;
  /// Where the errors go, for nested objects.
  FirstError &error() { return error_; }

private:
  const OrderedJson &object_;
  std::string path_;
  FirstError &error_;
  std::set<std::string> known_;
};

/// A value as messages show it, cut short.
std::string describeForClient(const OrderedJson &value);

} // namespace sinter
