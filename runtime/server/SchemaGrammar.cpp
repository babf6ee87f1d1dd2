//===- SchemaGrammar.cpp --------------------------------------------------===//
#include "runtime/server/SchemaGrammar.h"

#include "sinter/Support/Json.h"

#include <algorithm>
#include <set>

namespace sinter {
namespace {

using NodeId = Grammar::NodeId;

constexpr uint64_t kMaxCount = 10000; ///< of items or characters that a schema may count
constexpr size_t kMaxNodes = size_t(1) << 18;

/// Keywords that say nothing about values.
constexpr const char *kAnnotations[] = {"title",    "description", "default",    "examples",
                                        "$schema",  "$id",         "$comment",   "$defs",
                                        "readOnly", "writeOnly",   "deprecated", "definitions"};

struct Keyword {
  const char *name;
  const char *type; ///< what it constrains; null: anything
};
constexpr Keyword kKeywords[] = {
    {"type", nullptr},        {"enum", nullptr},      {"const", nullptr},
    {"anyOf", nullptr},       {"oneOf", nullptr},     {"$ref", nullptr},
    {"properties", "object"}, {"required", "object"}, {"additionalProperties", "object"},
    {"items", "array"},       {"minItems", "array"},  {"maxItems", "array"},
    {"minLength", "string"},  {"maxLength", "string"}};

const char *typeName(const OrderedJson &value) {
  if (value.is_number_integer())
    return "integer";
  return value.is_number() ? "number" : value.type_name();
}

bool isOfType(const OrderedJson &value, const std::vector<std::string> &types) {
  const std::string type = typeName(value);
  return std::any_of(types.begin(), types.end(), [&](const std::string &allowed) {
    return allowed == type || (allowed == "number" && type == "integer");
  });
}

std::string asText(const OrderedJson &value) { return value.dump(); }

} // namespace

void SchemaGrammar::fail(const std::string &path, const std::string &message, const char *code) {
  if (!error_)
    error_ = ApiError{400, path + ": " + message, path, code};
}

/// Whether that many nodes more are not too many.
bool SchemaGrammar::hasRoom(size_t nodes, const std::string &path) {
  if (grammar_.size() + nodes > kMaxNodes)
    fail(path, "the schema is too large", "unsupported_schema");
  return !error_;
}

NodeId SchemaGrammar::rule(const OrderedJson &schema, const std::string &path) {
  root_ = &schema;
  references_.clear();
  open_ = {"#"};
  const NodeId start = references_["#"] = grammar_.add();
  value(schema, path, start);
  return start;
}

/// A schema within another one, behind at least one byte.
NodeId SchemaGrammar::nested(const OrderedJson &schema, const std::string &path) {
  std::vector<std::string> outer;
  outer.swap(open_);
  const NodeId start = grammar_.add();
  value(schema, path, start);
  outer.swap(open_);
  return start;
}

/// Local references only. A reference that leads back to itself without a byte in between would
/// mean nothing.
NodeId SchemaGrammar::reference(const std::string &pointer, const std::string &path) {
  if (std::find(open_.begin(), open_.end(), pointer) != open_.end()) {
    fail(path, "refers to itself", "invalid_schema");
    return grammar_.add();
  }
  if (const auto known = references_.find(pointer); known != references_.end())
    return known->second;
  const NodeId start = references_[pointer] = grammar_.add();
  const OrderedJson *target = nullptr;
  if (pointer.starts_with("#/")) {
    try {
      const OrderedJson::json_pointer where(pointer.substr(1));
      if (root_->contains(where))
        target = &root_->at(where);
    } catch (const OrderedJson::exception &) {
      target = nullptr; // no pointer at all
    }
  }
  if (!target) {
    fail(path, "there is no " + quoteForMessage(pointer.substr(0, 80)) + " in the schema",
         "invalid_schema");
    return start;
  }
  open_.push_back(pointer);
  value(*target, path, start);
  open_.pop_back();
  return start;
}

void SchemaGrammar::checkKeywords(const OrderedJson &schema, const std::string &path) {
  for (const auto &[name, ignored] : schema.items()) {
    const auto isName = [&name = name](std::string_view other) { return name == other; };
    const bool known = std::any_of(std::begin(kAnnotations), std::end(kAnnotations), isName) ||
                       std::any_of(std::begin(kKeywords), std::end(kKeywords),
                                   [&](const Keyword &keyword) { return isName(keyword.name); });
    if (!known) {
      const std::string shown = quoteForMessage(name.substr(0, 64));
      fail(path + "." + shown.substr(1, shown.size() - 2), "this keyword is not supported",
           "unsupported_schema");
    }
  }
  // Alternatives and references stand alone: what stands beside them would have to hold as well.
  for (const char *alone : {"anyOf", "oneOf", "$ref"})
    if (schema.contains(alone))
      for (const Keyword &keyword : kKeywords)
        if (std::string_view(keyword.name) != alone && schema.contains(keyword.name))
          fail(path + "." + keyword.name, std::string("not supported beside ") + alone,
               "unsupported_schema");
}

/// `type`, or what the other keywords are about; empty: any.
std::vector<std::string> SchemaGrammar::typesOf(const OrderedJson &schema,
                                                const std::string &path) {
  static const std::set<std::string> known = {"object",  "array",   "string", "number",
                                              "integer", "boolean", "null"};
  std::vector<std::string> types;
  const auto given = schema.find("type");
  if (given != schema.end()) {
    const OrderedJson list = given->is_array() ? *given : OrderedJson::array({*given});
    for (const OrderedJson &type : list)
      if (type.is_string() && known.contains(type.get<std::string>()))
        types.push_back(type.get<std::string>());
      else
        fail(path + ".type", "unknown type " + describeForClient(type), "invalid_schema");
    if (list.empty())
      fail(path + ".type", "no types", "invalid_schema");
    return types;
  }
  for (const Keyword &keyword : kKeywords)
    if (keyword.type && schema.contains(keyword.name) &&
        std::find(types.begin(), types.end(), keyword.type) == types.end())
      types.emplace_back(keyword.type);
  return types;
}

void SchemaGrammar::value(const OrderedJson &schema, const std::string &path, NodeId start) {
  const NodeId end = grammar_.addEnd();
  if (!hasRoom(0, path))
    return;
  if (schema.is_boolean() && schema.get<bool>())
    return grammar_.call(start, json_.anyRule(), end);
  if (!schema.is_object())
    return fail(path, "expected a schema that allows something, got " + describeForClient(schema),
                "invalid_schema");
  checkKeywords(schema, path);
  if (schema.contains("$ref")) {
    const OrderedJson &target = schema["$ref"];
    if (!target.is_string())
      return fail(path + ".$ref", "expected a string", "invalid_schema");
    return grammar_.call(start, reference(target.get<std::string>(), path + ".$ref"), end);
  }
  for (const char *keyword : {"anyOf", "oneOf"})
    if (schema.contains(keyword))
      return anyOf(schema, keyword, path, start);
  if (schema.contains("const"))
    return oneOf({schema["const"]}, schema, path + ".const", start);
  if (schema.contains("enum")) {
    if (!schema["enum"].is_array())
      return fail(path + ".enum", "expected a list", "invalid_schema");
    return oneOf(schema["enum"].get<std::vector<OrderedJson>>(), schema, path + ".enum", start);
  }
  const std::vector<std::string> types = typesOf(schema, path);
  if (types.empty())
    grammar_.call(start, json_.anyRule(), end);
  for (const std::string &type : types)
    grammar_.call(start, ofType(type, schema, path), end);
}

void SchemaGrammar::anyOf(const OrderedJson &schema, const char *keyword, const std::string &path,
                          NodeId start) {
  const OrderedJson &choices = schema[keyword];
  const std::string where = path + "." + keyword;
  if (!choices.is_array() || choices.empty())
    return fail(where, "expected a list of schemas", "invalid_schema");
  const NodeId end = grammar_.addEnd();
  for (size_t i = 0; i < choices.size(); ++i) {
    const NodeId choice = grammar_.add();
    value(choices[i], where + "[" + std::to_string(i) + "]", choice);
    grammar_.call(start, choice, end);
  }
}

/// Exactly these values, as far as `type` allows them.
void SchemaGrammar::oneOf(std::vector<OrderedJson> values, const OrderedJson &schema,
                          const std::string &path, NodeId start) {
  for (const Keyword &keyword : kKeywords)
    if (keyword.type && schema.contains(keyword.name))
      fail(path, std::string("not supported beside ") + keyword.name, "unsupported_schema");
  if (schema.contains("const") && schema.contains("enum"))
    fail(path, "not supported beside enum", "unsupported_schema");
  const std::vector<std::string> types = typesOf(schema, path);
  std::vector<std::string> texts;
  for (const OrderedJson &value : values)
    if (types.empty() || isOfType(value, types))
      texts.push_back(asText(value));
  if (texts.empty())
    return fail(path, "no value is allowed", "invalid_schema");
  size_t bytes = 0;
  for (const std::string &text : texts)
    bytes += text.size();
  if (!hasRoom(bytes, path))
    return;
  grammar_.call(start, json_.oneOfRule(texts), grammar_.addEnd());
}

NodeId SchemaGrammar::ofType(const std::string &type, const OrderedJson &schema,
                             const std::string &path) {
  if (type == "object")
    return objectOf(schema, path);
  if (type == "array")
    return arrayOf(schema, path);
  if (type == "string")
    return stringOf(schema, path);
  if (type == "number")
    return json_.numberRule();
  if (type == "integer")
    return json_.integerRule();
  return type == "null" ? json_.oneOfRule({"null"}) : json_.oneOfRule({"true", "false"});
}

NodeId SchemaGrammar::objectOf(const OrderedJson &schema, const std::string &path) {
  const OrderedJson none = OrderedJson::object();
  const OrderedJson &given = schema.contains("properties") ? schema["properties"] : none;
  if (!given.is_object()) {
    fail(path + ".properties", "expected an object", "invalid_schema");
    return grammar_.add();
  }
  std::set<std::string> required;
  for (const OrderedJson &name : schema.value("required", OrderedJson::array()))
    if (name.is_string() && given.contains(name.get<std::string>()))
      required.insert(name.get<std::string>());
    else
      fail(path + ".required", describeForClient(name) + " is none of the properties",
           "invalid_schema");
  std::vector<JsonGrammar::Property> properties;
  for (const auto &[name, property] : given.items()) {
    const std::string where = path + ".properties." + name;
    if (!hasRoom(2 * name.size(), where))
      return grammar_.add();
    properties.push_back({asText(name), nested(property, where), required.contains(name)});
  }
  const bool named = schema.contains("additionalProperties");
  if (named && !schema["additionalProperties"].is_boolean())
    return json_.objectRule(properties,
                            nested(schema["additionalProperties"], path + ".additionalProperties"));
  if (named && schema["additionalProperties"].get<bool>())
    return properties.empty() ? json_.anyObjectRule()
                              : json_.objectRule(properties, json_.anyRule());
  if (properties.empty() && !named)
    return json_.anyObjectRule();
  return json_.objectRule(properties, std::nullopt);
}

uint64_t SchemaGrammar::count(const OrderedJson &schema, const char *keyword,
                              const std::string &path, uint64_t fallback) {
  const auto given = schema.find(keyword);
  if (given == schema.end())
    return fallback;
  if (given->is_number_unsigned() && given->get<uint64_t>() <= kMaxCount)
    return given->get<uint64_t>();
  fail(path + "." + keyword, "expected an integer from 0 to " + std::to_string(kMaxCount),
       "invalid_schema");
  return fallback;
}

NodeId SchemaGrammar::arrayOf(const OrderedJson &schema, const std::string &path) {
  const uint64_t least = count(schema, "minItems", path, 0);
  std::optional<uint64_t> most;
  if (schema.contains("maxItems"))
    most = count(schema, "maxItems", path, least);
  if (most && *most < least)
    fail(path + ".maxItems", "less than minItems", "invalid_schema");
  const NodeId item =
      schema.contains("items") ? nested(schema["items"], path + ".items") : json_.anyRule();
  return error_ ? grammar_.add() : json_.arrayRule(item, least, most);
}

NodeId SchemaGrammar::stringOf(const OrderedJson &schema, const std::string &path) {
  const uint64_t least = count(schema, "minLength", path, 0);
  std::optional<uint64_t> most;
  if (schema.contains("maxLength"))
    most = count(schema, "maxLength", path, least);
  if (most && *most < least)
    fail(path + ".maxLength", "less than minLength", "invalid_schema");
  return error_ ? grammar_.add() : json_.stringRule(least, most);
}

} // namespace sinter
