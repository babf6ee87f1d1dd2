//===- JsonGrammar.cpp ----------------------------------------------------===//
#include "runtime/server/JsonGrammar.h"

#include <algorithm>
#include <memory>

namespace sinter {
namespace {

using NodeId = Grammar::NodeId;

constexpr int kMaxIndent = 16;
constexpr int kMaxDigits = 18, kMaxFraction = 18, kMaxExponent = 2;

} // namespace

NodeId JsonGrammar::spaceRule() {
  if (space_)
    return *space_;
  space_ = grammar_.addEnd();
  const NodeId end = grammar_.addEnd();
  grammar_.byte(*space_, ' ', end);
  NodeId at = grammar_.addEnd();
  grammar_.byte(*space_, '\n', at);
  for (int i = 0; i < kMaxIndent; ++i) {
    const NodeId next = grammar_.addEnd();
    grammar_.byte(at, ' ', next);
    at = next;
  }
  return *space_;
}

void JsonGrammar::hexDigits(NodeId from, int count, NodeId to) {
  for (int i = 1; i <= count; ++i) {
    const NodeId next = i == count ? to : grammar_.add();
    grammar_.bytes(from, '0', '9', next);
    grammar_.bytes(from, 'a', 'f', next);
    grammar_.bytes(from, 'A', 'F', next);
    from = next;
  }
}

/// What follows a backslash.
void JsonGrammar::escape(NodeId from, NodeId to) {
  for (const char c : std::string_view("\"\\/bfnrt"))
    grammar_.byte(from, c, to);
  const NodeId code = grammar_.add(), three = grammar_.add(), afterD = grammar_.add(),
               high = grammar_.add(), low = grammar_.add(), lowU = grammar_.add(),
               lowD = grammar_.add(), lowC = grammar_.add();
  grammar_.byte(from, 'u', code);
  for (const auto &[first, last] :
       {std::pair('0', '9'), {'a', 'c'}, {'e', 'f'}, {'A', 'C'}, {'E', 'F'}})
    grammar_.bytes(code, uint8_t(first), uint8_t(last), three);
  hexDigits(three, 3, to);
  for (const char d : {'d', 'D'})
    grammar_.byte(code, d, afterD);
  const NodeId two = grammar_.add();
  grammar_.bytes(afterD, '0', '7', two);
  hexDigits(two, 2, to);
  // A high surrogate goes with a low one.
  for (const char c : {'8', '9', 'a', 'b', 'A', 'B'})
    grammar_.byte(afterD, c, high);
  hexDigits(high, 2, low);
  grammar_.byte(low, '\\', lowU);
  grammar_.byte(lowU, 'u', lowD);
  for (const char d : {'d', 'D'})
    grammar_.byte(lowD, d, lowC);
  const NodeId lastTwo = grammar_.add();
  grammar_.bytes(lowC, 'c', 'f', lastTwo);
  grammar_.bytes(lowC, 'C', 'F', lastTwo);
  hexDigits(lastTwo, 2, to);
}

/// One code point of a string, in UTF-8 or escaped.
void JsonGrammar::character(NodeId from, NodeId to) {
  grammar_.bytes(from, 0x20, 0x21, to);
  grammar_.bytes(from, 0x23, 0x5B, to);
  grammar_.bytes(from, 0x5D, 0x7F, to);
  const NodeId one = grammar_.add(), two = grammar_.add(), three = grammar_.add();
  grammar_.bytes(one, 0x80, 0xBF, to);
  grammar_.bytes(two, 0x80, 0xBF, one);
  grammar_.bytes(three, 0x80, 0xBF, two);
  const auto lead = [&](uint8_t first, uint8_t last, uint8_t low, uint8_t high, NodeId rest) {
    const NodeId second = grammar_.add();
    grammar_.bytes(from, first, last, second);
    grammar_.bytes(second, low, high, rest);
  };
  grammar_.bytes(from, 0xC2, 0xDF, one);
  lead(0xE0, 0xE0, 0xA0, 0xBF, one);
  grammar_.bytes(from, 0xE1, 0xEC, two);
  lead(0xED, 0xED, 0x80, 0x9F, one);
  grammar_.bytes(from, 0xEE, 0xEF, two);
  lead(0xF0, 0xF0, 0x90, 0xBF, two);
  grammar_.bytes(from, 0xF1, 0xF3, three);
  lead(0xF4, 0xF4, 0x80, 0x8F, two);
  const NodeId escaped = grammar_.add();
  grammar_.byte(from, '\\', escaped);
  escape(escaped, to);
}

NodeId JsonGrammar::characterRule() {
  if (!character_) {
    character_ = grammar_.add();
    character(*character_, grammar_.addEnd());
  }
  return *character_;
}

NodeId JsonGrammar::stringRule() {
  if (!string_) {
    string_ = grammar_.add();
    const NodeId inside = grammar_.add();
    grammar_.byte(*string_, '"', inside);
    character(inside, inside);
    grammar_.byte(inside, '"', grammar_.addEnd());
  }
  return *string_;
}

NodeId JsonGrammar::stringRule(uint64_t least, std::optional<uint64_t> most) {
  if (least == 0 && !most)
    return stringRule();
  const NodeId start = grammar_.add(), end = grammar_.addEnd();
  NodeId at = grammar_.add();
  grammar_.byte(start, '"', at);
  for (uint64_t count = 0;; ++count) {
    if (count >= least)
      grammar_.byte(at, '"', end);
    if (most && count >= *most)
      break;
    if (!most && count >= least) {
      character(at, at);
      break;
    }
    const NodeId next = grammar_.add();
    grammar_.call(at, characterRule(), next);
    at = next;
  }
  return start;
}

/// Up to `most` further digits.
void JsonGrammar::digits(NodeId from, int most, NodeId to) {
  grammar_.empty(from, to);
  for (int i = 0; i < most; ++i) {
    const NodeId next = grammar_.add();
    grammar_.bytes(from, '0', '9', next);
    grammar_.empty(next, to);
    from = next;
  }
}

NodeId JsonGrammar::integerRule() {
  if (integer_)
    return *integer_;
  integer_ = grammar_.add();
  const NodeId sign = grammar_.add(), more = grammar_.add(), end = grammar_.addEnd();
  grammar_.byte(*integer_, '-', sign);
  grammar_.empty(*integer_, sign);
  grammar_.byte(sign, '0', end);
  grammar_.bytes(sign, '1', '9', more);
  digits(more, kMaxDigits - 1, end);
  return *integer_;
}

NodeId JsonGrammar::numberRule() {
  if (number_)
    return *number_;
  number_ = grammar_.add();
  const NodeId whole = grammar_.add(), point = grammar_.add(), fraction = grammar_.add(),
               scale = grammar_.add(), sign = grammar_.add(), first = grammar_.add(),
               exponent = grammar_.add(), end = grammar_.addEnd();
  grammar_.call(*number_, integerRule(), whole);
  grammar_.byte(whole, '.', point);
  grammar_.empty(whole, scale);
  grammar_.bytes(point, '0', '9', fraction);
  digits(fraction, kMaxFraction - 1, scale);
  grammar_.empty(scale, end);
  grammar_.byte(scale, 'e', sign);
  grammar_.byte(scale, 'E', sign);
  grammar_.byte(sign, '-', first);
  grammar_.byte(sign, '+', first);
  grammar_.empty(sign, first);
  grammar_.bytes(first, '0', '9', exponent);
  digits(exponent, kMaxExponent - 1, end);
  return *number_;
}

NodeId JsonGrammar::oneOfRule(const std::vector<std::string> &texts) {
  const NodeId start = grammar_.add(), end = grammar_.addEnd();
  for (const std::string &text : texts)
    grammar_.text(start, text, end);
  return start;
}

void JsonGrammar::comma(NodeId from, NodeId to) {
  const NodeId mark = grammar_.add();
  grammar_.byte(from, ',', mark);
  space(mark, to);
}

void JsonGrammar::colonAndValue(NodeId from, NodeId value, NodeId to) {
  const NodeId colon = grammar_.add(), ready = grammar_.add();
  grammar_.byte(from, ':', colon);
  grammar_.empty(colon, ready);
  grammar_.byte(colon, ' ', ready);
  grammar_.call(ready, value, to);
}

NodeId JsonGrammar::arrayRule(NodeId item, uint64_t least, std::optional<uint64_t> most) {
  const NodeId start = grammar_.add(), open = grammar_.add(), done = grammar_.add(),
               close = grammar_.add();
  grammar_.byte(start, '[', open);
  space(done, close);
  grammar_.byte(close, ']', grammar_.addEnd());
  NodeId at = grammar_.add();
  space(open, at);
  for (uint64_t count = 0;; ++count) {
    if (count >= least)
      grammar_.empty(at, done);
    if (most && count >= *most)
      break;
    const bool repeats = !most && count >= std::max<uint64_t>(least, 1);
    const NodeId next = repeats ? at : grammar_.add();
    NodeId ready = at;
    if (count > 0) {
      ready = grammar_.add();
      comma(at, ready);
    }
    grammar_.call(ready, item, next);
    if (repeats)
      break;
    at = next;
  }
  return start;
}

NodeId JsonGrammar::memberRule(const std::string &key, NodeId value) {
  const NodeId start = grammar_.add(), colon = grammar_.add();
  grammar_.text(start, key, colon);
  colonAndValue(colon, value, grammar_.addEnd());
  return start;
}

/// Keys of printable ASCII that are none of the properties': a tree of theirs, left at every node
/// by every byte that does not follow it.
NodeId JsonGrammar::otherKeyRule(const std::vector<Property> &properties) {
  struct Branch {
    std::map<char, std::unique_ptr<Branch>> next;
    bool whole = false;
  };
  constexpr int kFirst = 0x20, kLast = 0x7E;
  const auto plain = [](int c) { return c >= kFirst && c <= kLast && c != '"' && c != '\\'; };
  Branch root;
  for (const Property &property : properties) {
    const std::string name = property.key.substr(1, property.key.size() - 2);
    if (!std::all_of(name.begin(), name.end(), plain))
      continue; // differs from all of these keys anyway
    Branch *at = &root;
    for (const char c : name) {
      auto &next = at->next[c];
      if (!next)
        next = std::make_unique<Branch>();
      at = next.get();
    }
    at->whole = true;
  }
  const NodeId start = grammar_.add(), end = grammar_.addEnd(), free = grammar_.add();
  for (int c = kFirst; c <= kLast; ++c)
    if (plain(c))
      grammar_.byte(free, char(c), free);
  grammar_.byte(free, '"', end);
  std::vector<std::pair<const Branch *, NodeId>> open = {{&root, grammar_.add()}};
  grammar_.byte(start, '"', open[0].second);
  while (!open.empty()) {
    const auto [branch, node] = open.back();
    open.pop_back();
    for (int c = kFirst; c <= kLast; ++c) {
      const auto next = branch->next.find(char(c));
      if (next != branch->next.end()) {
        open.emplace_back(next->second.get(), grammar_.add());
        grammar_.byte(node, char(c), open.back().second);
      } else if (plain(c)) {
        grammar_.byte(node, char(c), free);
      }
    }
    if (!branch->whole)
      grammar_.byte(node, '"', end);
  }
  return start;
}

NodeId JsonGrammar::objectRule(const std::vector<Property> &properties,
                               std::optional<NodeId> further) {
  const NodeId start = grammar_.add(), open = grammar_.add(), done = grammar_.add(),
               close = grammar_.add();
  grammar_.byte(start, '{', open);
  space(done, close);
  grammar_.byte(close, '}', grammar_.addEnd());
  // Two rows of nodes, before each property: nothing written yet, and something.
  NodeId none = grammar_.add(), some = grammar_.add();
  space(open, none);
  for (const Property &property : properties) {
    const NodeId member = memberRule(property.key, property.value);
    const NodeId nextNone = grammar_.add(), nextSome = grammar_.add(), ready = grammar_.add();
    grammar_.call(none, member, nextSome);
    comma(some, ready);
    grammar_.call(ready, member, nextSome);
    if (!property.required) {
      grammar_.empty(none, nextNone);
      grammar_.empty(some, nextSome);
    }
    none = nextNone;
    some = nextSome;
  }
  if (further) {
    const NodeId key = otherKeyRule(properties), ready = grammar_.add(), colon = grammar_.add(),
                 after = grammar_.add();
    grammar_.call(none, key, colon);
    comma(some, ready);
    grammar_.call(ready, key, colon);
    colonAndValue(colon, *further, after);
    grammar_.empty(after, some);
  }
  grammar_.empty(none, done);
  grammar_.empty(some, done);
  return start;
}

NodeId JsonGrammar::anyObjectRule() {
  if (anyObject_)
    return *anyObject_;
  anyObject_ = grammar_.add(); // known before its members are, which may be objects
  const NodeId any = anyRule();
  // Keys may be any strings here: there are no properties to tell them from.
  const NodeId open = grammar_.add(), first = grammar_.add(), colon = grammar_.add(),
               after = grammar_.add(), ready = grammar_.add(), done = grammar_.add(),
               close = grammar_.add();
  grammar_.byte(*anyObject_, '{', open);
  space(open, first);
  grammar_.call(first, stringRule(), colon);
  grammar_.empty(first, done);
  colonAndValue(colon, any, after);
  comma(after, ready);
  grammar_.call(ready, stringRule(), colon);
  grammar_.empty(after, done);
  space(done, close);
  grammar_.byte(close, '}', grammar_.addEnd());
  return *anyObject_;
}

NodeId JsonGrammar::anyRule() {
  if (any_)
    return *any_;
  any_ = grammar_.add();
  const NodeId end = grammar_.addEnd();
  for (const NodeId rule : {anyObjectRule(), arrayRule(*any_, 0, std::nullopt), stringRule(),
                            numberRule(), oneOfRule({"true", "false", "null"})})
    grammar_.call(*any_, rule, end);
  return *any_;
}

} // namespace sinter
