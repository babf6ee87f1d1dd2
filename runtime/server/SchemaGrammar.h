//===- SchemaGrammar.h - JSON schemas to grammars ---------------*- C++ -*-===//
//
// The subset of JSON Schema is in docs/server.md. A keyword outside it is an error: an answer that
// a grammar lets through is valid by the whole schema.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/server/Grammar.h"
#include "runtime/server/JsonFields.h"
#include "runtime/server/JsonGrammar.h"

#include <map>
#include <string>
#include <vector>

namespace sinter {

class SchemaGrammar {
public:
  using NodeId = Grammar::NodeId;

  SchemaGrammar(Grammar &grammar, FirstError &error)
      : grammar_(grammar), json_(grammar), error_(error) {}

  /// The rule of the values that `schema` allows. `path` names it in errors.
  NodeId rule(const OrderedJson &schema, const std::string &path);

  JsonGrammar &json() { return json_; }

private:
  void value(const OrderedJson &schema, const std::string &path, NodeId start);
  NodeId nested(const OrderedJson &schema, const std::string &path);
  NodeId reference(const std::string &pointer, const std::string &path);
  NodeId ofType(const std::string &type, const OrderedJson &schema, const std::string &path);
  NodeId objectOf(const OrderedJson &schema, const std::string &path);
  NodeId arrayOf(const OrderedJson &schema, const std::string &path);
  NodeId stringOf(const OrderedJson &schema, const std::string &path);
  void anyOf(const OrderedJson &schema, const char *keyword, const std::string &path, NodeId start);
  void oneOf(std::vector<OrderedJson> values, const OrderedJson &schema, const std::string &path,
             NodeId start);
  std::vector<std::string> typesOf(const OrderedJson &schema, const std::string &path);
  void checkKeywords(const OrderedJson &schema, const std::string &path);
  uint64_t count(const OrderedJson &schema, const char *keyword, const std::string &path,
                 uint64_t fallback);
  bool hasRoom(size_t nodes, const std::string &path);
  void fail(const std::string &path, const std::string &message, const char *code);

  Grammar &grammar_;
  JsonGrammar json_;
  FirstError &error_;
  const OrderedJson *root_ = nullptr;
  std::map<std::string, NodeId> references_;
  std::vector<std::string> open_; ///< references followed since the last byte
};

} // namespace sinter
