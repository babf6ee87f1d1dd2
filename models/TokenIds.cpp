//===- TokenIds.cpp - token ids in configuration files --------------------===//
#include "models/TokenIds.h"

#include "sinter/Support/Json.h"

using namespace sinter;
using nlohmann::json;

namespace {
/// Token ids are i32 in every buffer.
bool isTokenId(const json &value) {
  return value.is_number_unsigned() && value.get<uint64_t>() <= INT32_MAX;
}
} // namespace

Result<std::optional<int64_t>> models::getTokenId(const json &object, const char *key,
                                                  const std::string &where) {
  if (!hasValue(object, key))
    return std::optional<int64_t>();
  if (!isTokenId(object.at(key)))
    return unexpectedValue(where, key, "a token id", object.at(key));
  return std::optional<int64_t>(object.at(key).get<int64_t>());
}

Result<std::vector<int64_t>> models::getTokenIds(const json &object, const char *key,
                                                 const std::string &where) {
  std::vector<int64_t> ids;
  if (!hasValue(object, key))
    return ids;
  const json &value = object.at(key);
  for (const json &entry : value.is_array() ? value : json::array({value})) {
    if (!isTokenId(entry))
      return unexpectedValue(where, key, "a token id or a list of them", value);
    ids.push_back(entry.get<int64_t>());
  }
  return ids;
}
