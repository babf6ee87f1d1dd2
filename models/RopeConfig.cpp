//===- RopeConfig.cpp - the rotary part of config.json --------------------===//
#include "models/RopeConfig.h"

#include "sinter/Support/Json.h"

#include <algorithm>
#include <cmath>

using namespace sinter;
using namespace sinter::models;
using nlohmann::json;

namespace {

constexpr double kDefaultTheta = 10000; // PreTrainedConfig.default_theta
constexpr int64_t kMaxPosition = int64_t(1) << 27;

Status contradiction(const std::string &where, const std::string &key, const std::string &other) {
  return invalidInput(where + ": \"" + key + "\": contradicts " + other);
}

/// A number in [min, 1e30]; `text` describes it.
Result<double> getAtLeast(const json &object, const char *key, const std::string &where, double min,
                          const char *text, std::optional<double> fallback = std::nullopt) {
  SINTER_ASSIGN_OR_RETURN(const double value, getDouble(object, key, where, fallback));
  if (value < min || value > 1e30)
    return unexpectedValue(where, key, text, object.at(key));
  return value;
}

/// The one object that describes the rotary embedding, and the name of the key it stands under.
struct RopeObject {
  json object = json::object();
  std::string where;
};

Result<RopeObject> findRopeObject(const json &root, const std::string &fileName) {
  RopeObject found;
  found.where = fileName;
  for (const char *key : {"rope_scaling", "rope_parameters"}) {
    if (!hasValue(root, key))
      continue;
    const json &value = root.at(key);
    if (!value.is_object())
      return unexpectedValue(fileName, key, "an object", value);
    if (value.empty())
      continue;
    if (!found.object.empty() && found.object != value)
      return contradiction(fileName, "rope_parameters", "\"rope_scaling\"");
    found.object = value;
    found.where = fileName + ": \"" + key + "\"";
  }
  for (const auto &[key, value] : found.object.items())
    if (value.is_object())
      return unsupported(found.where + ": " + quoteForMessage(key) +
                         ": rotary parameters per layer type are not supported");
  return found;
}

Result<RopeScaling::Kind> parseKind(const RopeObject &rope) {
  SINTER_ASSIGN_OR_RETURN(const std::string old, getString(rope.object, "type", rope.where, ""));
  SINTER_ASSIGN_OR_RETURN(
      const std::string type,
      getString(rope.object, "rope_type", rope.where, old.empty() ? std::string("default") : old));
  const char *key = hasValue(rope.object, "rope_type") ? "rope_type" : "type";
  if (!old.empty() && old != type)
    return contradiction(rope.where, "rope_type", "\"type\"");
  if (type == "default")
    return RopeScaling::Kind::None;
  if (type == "linear")
    return RopeScaling::Kind::Linear;
  if (type == "yarn")
    return RopeScaling::Kind::Yarn;
  return unsupported(rope.where + ": \"" + key + "\": type " + quoteForMessage(type) +
                     " is not supported (default, linear and yarn are)");
}

/// A key that the chosen type does not read would be dropped without a word.
Status checkKeys(const RopeObject &rope, RopeScaling::Kind kind) {
  std::vector<std::string_view> known = {"type", "rope_type", "rope_theta",
                                         "partial_rotary_factor"};
  if (kind != RopeScaling::Kind::None)
    known.push_back("factor");
  if (kind == RopeScaling::Kind::Yarn)
    known.insert(known.end(), {"original_max_position_embeddings", "attention_factor", "beta_fast",
                               "beta_slow", "mscale", "mscale_all_dim", "truncate"});
  for (const auto &[key, value] : rope.object.items())
    if (!value.is_null() && std::find(known.begin(), known.end(), key) == known.end())
      return unsupported(rope.where + ": " + quoteForMessage(key) +
                         ": has no meaning for this type of rotary scaling");
  return Status::ok();
}

/// Both levels may carry a key; different values there are a contradiction.
Status checkBothLevels(const json &root, const std::string &fileName, const RopeObject &rope,
                       const char *key) {
  if (hasValue(root, key) && hasValue(rope.object, key) && root.at(key) != rope.object.at(key))
    return contradiction(rope.where, key, quoteForMessage(key) + " of " + fileName + " itself");
  return Status::ok();
}

Status parseYarn(const json &root, const std::string &fileName, const RopeObject &rope,
                 ModelConfig &config) {
  constexpr const char *kOriginal = "original_max_position_embeddings";
  RopeScaling &yarn = config.ropeScaling;
  SINTER_RETURN_IF_ERROR(checkBothLevels(root, fileName, rope, kOriginal));
  const bool nested = hasValue(rope.object, kOriginal);
  SINTER_ASSIGN_OR_RETURN(yarn.originalMaxPosition,
                          getInt(nested ? rope.object : root, kOriginal,
                                 nested ? rope.where : fileName, config.maxPositionEmbeddings,
                                 {1, kMaxPosition}));
  // transformers reads 0 in these as "not given".
  const auto optional = [&](const char *key, std::optional<double> &out) -> Status {
    SINTER_ASSIGN_OR_RETURN(const double value, getAtLeast(rope.object, key, rope.where, 0,
                                                           "a non-negative number", 0.0));
    if (value != 0)
      out = value;
    return Status::ok();
  };
  SINTER_RETURN_IF_ERROR(optional("mscale", yarn.mscale));
  SINTER_RETURN_IF_ERROR(optional("mscale_all_dim", yarn.mscaleAllDim));
  std::optional<double> fast, slow;
  SINTER_RETURN_IF_ERROR(optional("beta_fast", fast));
  SINTER_RETURN_IF_ERROR(optional("beta_slow", slow));
  yarn.betaFast = fast.value_or(32);
  yarn.betaSlow = slow.value_or(1);
  if (yarn.betaFast < yarn.betaSlow)
    return contradiction(rope.where, "beta_fast", "\"beta_slow\"");
  if (hasValue(rope.object, "attention_factor")) {
    SINTER_ASSIGN_OR_RETURN(
        yarn.attentionFactor,
        getAtLeast(rope.object, "attention_factor", rope.where, 1e-6, "a positive number"));
  }
  SINTER_ASSIGN_OR_RETURN(yarn.truncate, getBool(rope.object, "truncate", rope.where, true));
  return Status::ok();
}

} // namespace

Status models::parseRope(const json &root, const std::string &fileName, ModelConfig &config) {
  SINTER_ASSIGN_OR_RETURN(const RopeObject rope, findRopeObject(root, fileName));
  SINTER_RETURN_IF_ERROR(checkBothLevels(root, fileName, rope, "rope_theta"));
  const bool nested = hasValue(rope.object, "rope_theta");
  SINTER_ASSIGN_OR_RETURN(config.ropeTheta, getAtLeast(nested ? rope.object : root, "rope_theta",
                                                       nested ? rope.where : fileName, 1.0 + 1e-6,
                                                       "a number above 1", kDefaultTheta));
  for (const json *object : {&root, &rope.object})
    if (hasValue(*object, "partial_rotary_factor") && object->at("partial_rotary_factor") != 1)
      return unsupported((object == &root ? fileName : rope.where) +
                         ": \"partial_rotary_factor\": only 1 is supported, got " +
                         describeValue(object->at("partial_rotary_factor")));
  SINTER_ASSIGN_OR_RETURN(config.ropeScaling.kind, parseKind(rope));
  SINTER_RETURN_IF_ERROR(checkKeys(rope, config.ropeScaling.kind));
  if (config.ropeScaling.kind == RopeScaling::Kind::None)
    return Status::ok();
  SINTER_ASSIGN_OR_RETURN(config.ropeScaling.factor, getAtLeast(rope.object, "factor", rope.where,
                                                                1, "a number of at least 1"));
  if (config.ropeScaling.kind == RopeScaling::Kind::Yarn)
    return parseYarn(root, fileName, rope, config);
  return Status::ok();
}
