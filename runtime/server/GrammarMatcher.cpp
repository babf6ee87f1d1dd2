//===- GrammarMatcher.cpp -------------------------------------------------===//
#include "runtime/server/GrammarMatcher.h"

#include <algorithm>
#include <set>

namespace sinter {

GrammarMatcher::GrammarMatcher(std::shared_ptr<const Grammar> grammar,
                               std::shared_ptr<const TokenTrie> trie, size_t maskWords)
    : grammar_(std::move(grammar)), trie_(std::move(trie)), maskWords_(maskWords), frames_{{0, 0}},
      path_(trie_->deepest() + 1) {
  intern({{grammar_->start, 0}});
}

GrammarMatcher::StackId GrammarMatcher::push(NodeId back, StackId below) {
  // Where nothing but the end follows, the call's end is the caller's: stacks of loops stay short.
  if ((*grammar_)[back].onlyEnds())
    return below;
  const auto [entry, added] = stacks_.try_emplace({back, below}, StackId(frames_.size()));
  if (added)
    frames_.push_back({back, below});
  return entry->second;
}

/// The state of `open` places and all that can be reached from them without a byte.
GrammarMatcher::StateId GrammarMatcher::intern(Places open) {
  std::set<Place> seen(open.begin(), open.end());
  Places places;
  bool accepts = false;
  const auto reach = [&](Place place) {
    if (seen.insert(place).second)
      open.push_back(place);
  };
  while (!open.empty()) {
    const Place place = open.back();
    open.pop_back();
    const Grammar::Node &node = (*grammar_)[place.node];
    if (!node.edges.empty())
      places.push_back(place);
    for (const NodeId to : node.empty)
      reach({to, place.stack});
    for (const Grammar::Call &call : node.calls)
      reach({call.rule, push(call.back, place.stack)});
    if (!node.end)
      continue;
    if (place.stack == 0)
      accepts = true;
    else
      reach({frames_[place.stack].back, frames_[place.stack].below});
  }
  if (places.empty() && !accepts)
    return kDead;
  std::sort(places.begin(), places.end());
  const auto [entry, added] =
      numbers_.try_emplace({std::move(places), accepts}, StateId(states_.size()));
  if (added) {
    State &state = states_.emplace_back();
    state.places = entry->first.first;
    state.accepts = accepts;
    state.next.fill(kUnknown);
  }
  return entry->second;
}

GrammarMatcher::StateId GrammarMatcher::follow(StateId state, uint8_t byte) {
  Places reached;
  for (const Place &place : states_[size_t(state)].places)
    for (const Grammar::Edge &edge : (*grammar_)[place.node].edges)
      if (byte >= edge.low && byte <= edge.high)
        reached.push_back({edge.to, place.stack});
  if (reached.empty() || full())
    return kDead;
  return intern(std::move(reached));
}

GrammarMatcher::StateId GrammarMatcher::next(StateId state, uint8_t byte) {
  const StateId known = states_[size_t(state)].next[byte];
  if (known != kUnknown)
    return known;
  const StateId to = follow(state, byte);
  states_[size_t(state)].next[byte] = to; // follow() moves the states
  return to;
}

const std::vector<uint32_t> &GrammarMatcher::mask(StateId state) {
  if (const auto known = masks_.find(state); known != masks_.end())
    return known->second;
  if (masks_.size() >= kMaxMasks)
    masks_.clear();
  std::vector<uint32_t> &mask = masks_[state];
  mask.assign(maskWords_, 0);
  path_[0] = state;
  trie_->walk(
      [&](size_t depth, uint8_t byte) {
        path_[depth + 1] = next(path_[depth], byte);
        return path_[depth + 1] != kDead;
      },
      [&](int32_t token) {
        if (size_t(token) / 32 < mask.size())
          mask[size_t(token) / 32] |= uint32_t(1) << (token % 32);
      });
  return mask;
}

} // namespace sinter
