//===- Grammar.h - which byte strings an answer may be ----------*- C++ -*-===//
//
// A network of nodes: edges that take a byte, empty edges, and calls of rules, which come back when
// they reach an end node. Calls make nesting possible, so this is a pushdown automaton.
//
//===----------------------------------------------------------------------===//
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace sinter {

class Grammar {
public:
  using NodeId = uint32_t;

  struct Edge {
    uint8_t low, high; ///< inclusive
    NodeId to;
  };
  struct Call {
    NodeId rule; ///< where the rule begins
    NodeId back; ///< where to go on at its end
  };
  struct Node {
    std::vector<Edge> edges;
    std::vector<NodeId> empty;
    std::vector<Call> calls;
    bool end = false; ///< the rule may end here

    /// Whether nothing can follow but the end.
    bool onlyEnds() const { return end && edges.empty() && empty.empty() && calls.empty(); }
  };

  NodeId add() {
    nodes_.emplace_back();
    return NodeId(nodes_.size() - 1);
  }
  NodeId addEnd() {
    const NodeId node = add();
    nodes_[node].end = true;
    return node;
  }

  void bytes(NodeId from, uint8_t low, uint8_t high, NodeId to) {
    nodes_[from].edges.push_back({low, high, to});
  }
  void byte(NodeId from, char value, NodeId to) { bytes(from, uint8_t(value), uint8_t(value), to); }
  void empty(NodeId from, NodeId to) { nodes_[from].empty.push_back(to); }
  void call(NodeId from, NodeId rule, NodeId to) { nodes_[from].calls.push_back({rule, to}); }
  /// Exactly `text`.
  void text(NodeId from, std::string_view text, NodeId to);
  /// Any bytes up to and including the first `mark`.
  void until(NodeId from, std::string_view mark, NodeId to);

  const Node &operator[](NodeId id) const { return nodes_[id]; }
  size_t size() const { return nodes_.size(); }

  NodeId start = 0; ///< of the rule that the whole answer is

private:
  std::vector<Node> nodes_;
};

} // namespace sinter
