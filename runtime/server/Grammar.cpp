//===- Grammar.cpp --------------------------------------------------------===//
#include "runtime/server/Grammar.h"

#include <string>

namespace sinter {

void Grammar::text(NodeId from, std::string_view text, NodeId to) {
  if (text.empty())
    return empty(from, to);
  for (size_t i = 0; i < text.size(); ++i) {
    const NodeId next = i + 1 == text.size() ? to : add();
    byte(from, text[i], next);
    from = next;
  }
}

namespace {

/// How much of `mark` has been matched after its first `matched` bytes and then `value`.
size_t matchedAfter(std::string_view mark, size_t matched, char value) {
  std::string seen(mark.substr(0, matched));
  seen += value;
  for (size_t length = seen.size(); length > 0; --length)
    if (mark.starts_with(std::string_view(seen).substr(seen.size() - length)))
      return length;
  return 0;
}

} // namespace

void Grammar::until(NodeId from, std::string_view mark, NodeId to) {
  std::vector<NodeId> states = {from}; // by how much of the mark was matched
  for (size_t i = 1; i < mark.size(); ++i)
    states.push_back(add());
  states.push_back(to);
  for (size_t matched = 0; matched < mark.size(); ++matched)
    for (int value = 0; value < 256; ++value)
      byte(states[matched], char(value), states[matchedAfter(mark, matched, char(value))]);
}

} // namespace sinter
