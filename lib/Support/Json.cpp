//===- Json.cpp - JSON text to values, errors to Status -------------------===//
#include "sinter/Support/Json.h"

#include <algorithm>
#include <set>
#include <vector>

using namespace sinter;
using nlohmann::json;

namespace {

/// Thrown by the parse callback and caught in parseJson.
struct RepeatedKey {
  std::string key;
};

/// The byte at which nesting passes the limit. Looked for before parsing: later stages (dump,
/// comparison) recurse over the value.
std::optional<size_t> findTooDeep(std::string_view text) {
  int depth = 0;
  bool inString = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (inString) {
      if (c == '\\')
        ++i;
      else if (c == '"')
        inString = false;
    } else if (c == '"') {
      inString = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kMaxJsonDepth)
        return i;
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return std::nullopt;
}

/// nlohmann's text without its "[json.exception...] parse error at line 1, column 2: " and without
/// the quoted input, which may be long or unprintable.
std::string parserReason(const std::string &what) {
  std::string text = what;
  if (size_t column = text.find(", column "); column != std::string::npos)
    if (size_t colon = text.find(": ", column); colon != std::string::npos)
      text = text.substr(colon + 2);
  if (size_t bracket = text.find("] ");
      !text.empty() && text[0] == '[' && bracket != std::string::npos)
    text = text.substr(bracket + 2);
  if (size_t last = text.find("; last read"); last != std::string::npos)
    text.resize(last);
  constexpr size_t kLimit = 120; // "number overflow" quotes the number, however long
  return text.size() <= kLimit ? text : text.substr(0, kLimit) + "...";
}

Status syntaxError(std::string_view text, const std::string &what, size_t byte,
                   const std::string &reason) {
  const std::string_view before = text.substr(0, std::min(byte, text.size()));
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  return invalidInput(what + ": not valid JSON at byte " + std::to_string(byte) + " (line " +
                      std::to_string(line) + "): " + reason);
}

/// Collects the keys of every open object.
class UniqueKeys {
public:
  bool operator()(int, json::parse_event_t event, json &parsed) {
    if (event == json::parse_event_t::object_start)
      open_.emplace_back();
    else if (event == json::parse_event_t::object_end)
      open_.pop_back();
    else if (event == json::parse_event_t::key &&
             !open_.back().insert(parsed.get_ref<const std::string &>()).second)
      throw RepeatedKey{parsed.get<std::string>()};
    return true;
  }

private:
  std::vector<std::set<std::string>> open_;
};

Status missing(const std::string &where, const char *key) {
  return invalidInput(where + ": \"" + key + "\": missing");
}

/// A bounded size says "positive" first: the bound only matters to who exceeded it.
std::string describeRange(IntRange range, std::optional<int64_t> value) {
  const IntRange full;
  const bool above = value && *value > range.max;
  if (above && range.min >= 0)
    return "at most " + std::to_string(range.max);
  if (range.min == 1)
    return "a positive integer";
  if (range.min == 0)
    return "a non-negative integer";
  if (range.min == full.min && range.max == full.max)
    return "an integer";
  return "an integer from " + std::to_string(range.min) + " to " + std::to_string(range.max);
}

std::optional<int64_t> asInt(const json &value) {
  if (!value.is_number_integer())
    return std::nullopt;
  if (value.is_number_unsigned() &&
      value.get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
    return std::nullopt;
  return value.get<int64_t>();
}

} // namespace

Result<json> sinter::parseJson(std::string_view text, const std::string &what, JsonKeys keys) {
  if (std::optional<size_t> byte = findTooDeep(text))
    return syntaxError(text, what, *byte,
                       "nested more than " + std::to_string(kMaxJsonDepth) + " levels deep");
  try {
    if (keys == JsonKeys::Unique)
      return json::parse(text.begin(), text.end(), UniqueKeys());
    return json::parse(text.begin(), text.end());
  } catch (const json::parse_error &error) {
    // nlohmann counts bytes from 1.
    return syntaxError(text, what, error.byte == 0 ? 0 : error.byte - 1,
                       parserReason(error.what()));
  } catch (const json::exception &error) {
    return invalidInput(what + ": not valid JSON: " + parserReason(error.what()));
  } catch (const RepeatedKey &repeated) {
    return invalidInput(what + ": key " + quoteForMessage(repeated.key) + " appears twice");
  }
}

bool sinter::hasValue(const json &object, const char *key) {
  auto it = object.find(key);
  return it != object.end() && !it->is_null();
}

std::string sinter::describeValue(const json &value) {
  std::string text = value.dump(-1, ' ', /*ensure_ascii=*/true, json::error_handler_t::replace);
  constexpr size_t kLimit = 60;
  return text.size() <= kLimit ? text : text.substr(0, kLimit) + "...";
}

Status sinter::unexpectedValue(const std::string &where, std::string_view key,
                               const std::string &expected, const json &value) {
  return invalidInput(where + ": " + quoteForMessage(key) + ": expected " + expected + ", got " +
                      describeValue(value));
}

Result<int64_t> sinter::getInt(const json &object, const char *key, const std::string &where,
                               std::optional<int64_t> fallback, IntRange range) {
  if (!hasValue(object, key)) {
    if (fallback)
      return *fallback;
    return missing(where, key);
  }
  const json &value = object.at(key);
  std::optional<int64_t> number = asInt(value);
  if (!number || *number < range.min || *number > range.max)
    return unexpectedValue(where, key, describeRange(range, number), value);
  return *number;
}

Result<double> sinter::getDouble(const json &object, const char *key, const std::string &where,
                                 std::optional<double> fallback) {
  if (!hasValue(object, key)) {
    if (fallback)
      return *fallback;
    return missing(where, key);
  }
  const json &value = object.at(key);
  if (!value.is_number())
    return unexpectedValue(where, key, "a number", value);
  return value.get<double>();
}

Result<bool> sinter::getBool(const json &object, const char *key, const std::string &where,
                             std::optional<bool> fallback) {
  if (!hasValue(object, key)) {
    if (fallback)
      return *fallback;
    return missing(where, key);
  }
  const json &value = object.at(key);
  if (!value.is_boolean())
    return unexpectedValue(where, key, "true or false", value);
  return value.get<bool>();
}

Result<std::string> sinter::getString(const json &object, const char *key, const std::string &where,
                                      std::optional<std::string> fallback) {
  if (!hasValue(object, key)) {
    if (fallback)
      return *fallback;
    return missing(where, key);
  }
  const json &value = object.at(key);
  if (!value.is_string())
    return unexpectedValue(where, key, "a string", value);
  return value.get<std::string>();
}

std::string sinter::quoteForMessage(std::string_view text) {
  constexpr size_t kLimit = 200;
  constexpr char kHex[] = "0123456789abcdef";
  std::string out = "\"";
  for (size_t i = 0; i < text.size() && i < kLimit; ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0x20 && c != 0x7f)
      out += text[i];
    else
      out += {'\\', 'x', kHex[c >> 4], kHex[c & 15]};
  }
  return out + (text.size() > kLimit ? "...\"" : "\"");
}
