//===- TokenTrie.h - a vocabulary as a tree of bytes ------------*- C++ -*-===//
#pragma once

#include "runtime/text/Tokenizer.h"

#include <cstdint>
#include <vector>

namespace sinter {

/// All tokens that stand for text, special ones excluded. Nodes are in depth-first order, so that a
/// walk is one pass over arrays that skips what a grammar does not allow.
class TokenTrie {
public:
  struct Node {
    uint32_t skip;       ///< the next node that is not below this one
    uint32_t firstToken; ///< tokens that end here: up to the next node's first
    uint16_t depth;      ///< bytes from the root, which has no node itself
    uint8_t byte;
  };

  explicit TokenTrie(const Tokenizer &tokenizer);

  /// Calls `step(depth, byte)`, which says whether the bytes so far may be, and `token(id)` for
  /// every token whose bytes all may.
  template <typename Step, typename Token> void walk(Step step, Token token) const {
    for (uint32_t i = 0; i + 1 < nodes_.size();) {
      const Node &node = nodes_[i];
      if (!step(node.depth, node.byte)) {
        i = node.skip;
        continue;
      }
      for (uint32_t t = node.firstToken; t < nodes_[i + 1].firstToken; ++t)
        token(tokens_[t]);
      ++i;
    }
  }

  size_t nodes() const { return nodes_.size() - 1; }
  size_t deepest() const { return deepest_; }

private:
  std::vector<Node> nodes_; ///< and one behind the last
  std::vector<int32_t> tokens_;
  size_t deepest_ = 0;
};

} // namespace sinter
