//===- JsonGrammar.h - JSON values as grammar rules -------------*- C++ -*-===//
//
// The rules generate a subset of JSON that every parser reads the same: between elements one space,
// or a line break and at most 16 spaces; after a colon at most a space; whole numbers of up to 18
// digits; exponents of up to two; no unpaired surrogates. Without such limits a model can go on in
// white space or digits for ever.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/server/Grammar.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace sinter {

/// Adds rules to a grammar, each once.
class JsonGrammar {
public:
  using NodeId = Grammar::NodeId;

  explicit JsonGrammar(Grammar &grammar) : grammar_(grammar) {}

  /// Values of any kind, and those that are objects.
  NodeId anyRule();
  NodeId anyObjectRule();
  NodeId numberRule();
  NodeId integerRule();
  NodeId stringRule();
  /// Strings of so many code points.
  NodeId stringRule(uint64_t least, std::optional<uint64_t> most);
  /// Exactly one of these texts.
  NodeId oneOfRule(const std::vector<std::string> &texts);
  NodeId arrayRule(NodeId item, uint64_t least, std::optional<uint64_t> most);

  struct Property {
    std::string key; ///< as JSON text, quotes included
    NodeId value;
    bool required = false;
  };
  /// The properties in this order, then, where `further` is a rule, others whose keys are printable
  /// ASCII and differ from theirs.
  NodeId objectRule(const std::vector<Property> &properties, std::optional<NodeId> further);

  void space(NodeId from, NodeId to) { grammar_.call(from, spaceRule(), to); }

private:
  NodeId spaceRule();
  NodeId characterRule();
  NodeId memberRule(const std::string &key, NodeId value);
  NodeId otherKeyRule(const std::vector<Property> &properties);
  void character(NodeId from, NodeId to);
  void escape(NodeId from, NodeId to);
  void hexDigits(NodeId from, int count, NodeId to);
  void digits(NodeId from, int most, NodeId to);
  void colonAndValue(NodeId from, NodeId value, NodeId to);
  void comma(NodeId from, NodeId to);

  Grammar &grammar_;
  std::optional<NodeId> any_, anyObject_, number_, integer_, string_, space_, character_;
};

} // namespace sinter
