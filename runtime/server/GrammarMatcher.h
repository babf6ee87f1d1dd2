//===- GrammarMatcher.h - follows a grammar byte by byte --------*- C++ -*-===//
//
// The set of all places in a grammar where a text may be, each a node and a stack of calls, is a
// state. States are made when they are first reached, numbered, and then followed by one table
// look-up per byte; what tokens may come next is kept per state as well.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/server/Grammar.h"
#include "runtime/server/TokenTrie.h"

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <unordered_map>
#include <vector>

namespace sinter {

/// For one thread.
class GrammarMatcher {
public:
  using StateId = int32_t;
  static constexpr StateId kDead = -1;

  GrammarMatcher(std::shared_ptr<const Grammar> grammar, std::shared_ptr<const TokenTrie> trie,
                 size_t maskWords);

  StateId start() const { return 0; }
  /// kDead where the text can have no such byte.
  StateId next(StateId state, uint8_t byte);
  /// Whether the text may end here.
  bool accepts(StateId state) const { return states_[size_t(state)].accepts; }
  /// Bits of the tokens that may come next. Valid until the next call.
  const std::vector<uint32_t> &mask(StateId state);

  size_t states() const { return states_.size(); }

  /// More states than this are too much memory: a request whose answer needs them fails.
  static constexpr size_t kMaxStates = size_t(1) << 16;
  bool full() const { return states_.size() >= kMaxStates; }

private:
  using NodeId = Grammar::NodeId;
  using StackId = uint32_t;
  struct Place {
    NodeId node;
    StackId stack;
    auto operator<=>(const Place &) const = default;
  };
  using Places = std::vector<Place>;
  struct State {
    Places places; ///< those that take a byte
    bool accepts = false;
    std::array<StateId, 256> next;
  };
  struct Frame {
    NodeId back;
    StackId below;
    auto operator<=>(const Frame &) const = default;
  };

  StateId intern(Places places);
  StackId push(NodeId back, StackId below);
  StateId follow(StateId state, uint8_t byte);

  static constexpr StateId kUnknown = -2;
  static constexpr size_t kMaxMasks = 256;

  std::shared_ptr<const Grammar> grammar_;
  std::shared_ptr<const TokenTrie> trie_;
  size_t maskWords_;
  std::vector<State> states_;
  std::map<std::pair<Places, bool>, StateId> numbers_;
  std::vector<Frame> frames_; ///< stack 0 is the empty one
  std::map<Frame, StackId> stacks_;
  std::unordered_map<StateId, std::vector<uint32_t>> masks_;
  std::vector<StateId> path_; ///< of a walk over the trie, by depth
};

} // namespace sinter
