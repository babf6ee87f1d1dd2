//===- Methods.cpp - methods of str, dict and list ------------------------===//
#include <algorithm>

#include "runtime/text/jinja/Builtins.h"
#include "runtime/text/jinja/PythonText.h"

namespace sinter::jinja {

namespace {

using Ctx = CallContext;

const std::string &textOf(const Value &subject) { return *subject.string(); }

/// An argument that may be absent or None.
bool given(const Value *argument) { return argument && !argument->isNone(); }

long limitOf(const Value *argument, const char *what) {
  const Int limit = argument ? needInt(*argument, what) : -1;
  return limit < 0 ? -1 : long(std::min<Int>(limit, Int(1) << 40));
}

Value stripped(const Value &s, const Args &a, Ctx &c, Side side) {
  const std::string &text = textOf(s);
  c.budget.charge(text.size());
  if (!given(a[0]))
    return std::string(strip(text, std::nullopt, side));
  const std::string &chars = needString(*a[0], "strip");
  c.budget.charge(text.size() * (1 + chars.size() / 16));
  return std::string(strip(text, chars, side));
}

/// startswith and endswith: one text or a tuple of texts.
Value touches(const Value &s, const Args &a, Ctx &c, bool atEnd) {
  const char *what = atEnd ? "endswith" : "startswith";
  const auto matches = [&](const Value &part) {
    const std::string &fix = needString(part, what);
    c.budget.charge(fix.size() / 16 + 1);
    const std::string_view text = textOf(s);
    return atEnd ? text.ends_with(fix) : text.starts_with(fix);
  };
  const Sequence *tuple = a[0]->sequence();
  if (!tuple || tuple->kind != Sequence::Kind::Tuple)
    return matches(*a[0]);
  for (const Value &part : tuple->items)
    if (matches(part))
      return true;
  return false;
}

Value listOf(const std::vector<std::string_view> &parts, Budget &budget) {
  budget.charge(32 * parts.size());
  Values items;
  for (std::string_view part : parts) {
    budget.charge(part.size());
    items.emplace_back(std::string(part));
  }
  return makeList(std::move(items), budget);
}

Value splitText(const Value &s, const Args &a, Ctx &c, bool fromRight) {
  const std::string &text = textOf(s);
  const long limit = limitOf(a[1], "split");
  c.budget.charge(text.size());
  if (!given(a[0])) {
    if (fromRight)
      refuseRender("rsplit without a separator");
    return listOf(split(text, std::nullopt, limit), c.budget);
  }
  const std::string &separator = needString(*a[0], "split");
  if (separator.empty())
    failRender("split: the separator is empty");
  c.budget.charge(text.size() * (16 / separator.size() + (fromRight ? separator.size() / 16 : 0)));
  return listOf(fromRight ? rsplit(text, separator, limit) : split(text, separator, limit),
                c.budget);
}

Value replaceText(const Value &s, const Args &a, Ctx &c) {
  const std::string &text = textOf(s), &from = needString(*a[0], "replace"),
                    &to = needString(*a[1], "replace");
  c.budget.charge(16 * (text.size() / std::max<size_t>(from.size(), 1) + 1) + text.size());
  const auto parts = partsBetween(text, from, limitOf(a[2], "replace"));
  c.budget.charge(parts.size() * to.size());
  std::string out;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i)
      out += to;
    out += parts[i];
  }
  return out;
}

Value changedCase(const std::string &text, Case to, Ctx &c) {
  c.budget.charge(text.size());
  char32_t bad = 0;
  auto out = changeCase(text, to, bad);
  if (!out)
    refuseRender("changing the case of " + hexName(bad));
  return std::move(*out);
}

Value capitalize(const Value &s, const Args &, Ctx &c) {
  const std::string &text = textOf(s);
  const size_t first = byteOffset(text, 1);
  return *changedCase(text.substr(0, first), Case::Title, c).string() +
         *changedCase(text.substr(first), Case::Lower, c).string();
}

Value findPart(const Value &s, const Args &a, Ctx &c) {
  const std::string &text = textOf(s);
  c.budget.charge(text.size() / 4);
  const size_t hit = findText(text, needString(*a[0], "find"), 0);
  return hit == std::string::npos ? Int(-1)
                                  : Int(countCodePoints(std::string_view(text).substr(0, hit)));
}

Value countPart(const Value &s, const Args &a, Ctx &c) {
  const std::string &part = needString(*a[0], "count");
  c.budget.charge(16 * (textOf(s).size() / std::max<size_t>(part.size(), 1) + 1));
  return Int(partsBetween(textOf(s), part, -1).size() - 1);
}

Value joinTexts(const Value &s, const Args &a, Ctx &c) {
  std::string out;
  bool first = true;
  const auto items = iterate(*a[0], c.budget);
  for (const Value &item : items->items) {
    const std::string &part = needString(item, "join");
    c.budget.charge(part.size() + textOf(s).size() + 8);
    if (!std::exchange(first, false))
      out += textOf(s);
    out += part;
  }
  return out;
}

Value withoutFix(const Value &s, const Args &a, Ctx &c, bool atEnd) {
  const std::string &text = textOf(s);
  const std::string &fix = needString(*a[0], atEnd ? "removesuffix" : "removeprefix");
  c.budget.charge(text.size());
  if (!*touches(s, a, c, atEnd).boolean())
    return s;
  return atEnd ? text.substr(0, text.size() - fix.size()) : text.substr(fix.size());
}

const std::vector<Builtin> &stringMethods() {
  static const std::vector<Builtin> kMethods = {
      {"capitalize", 0, {}, false, capitalize},
      {"count", 1, {"/sub"}, false, countPart},
      {"endswith",
       1,
       {"/suffix"},
       false,
       [](const Value &s, const Args &a, Ctx &c) { return touches(s, a, c, true); }},
      {"find", 1, {"/sub"}, false, findPart},
      {"join", 1, {"/iterable"}, false, joinTexts},
      {"lower",
       0,
       {},
       false,
       [](const Value &s, const Args &, Ctx &c) { return changedCase(textOf(s), Case::Lower, c); }},
      {"lstrip",
       0,
       {"/chars"},
       false,
       [](const Value &s, const Args &a, Ctx &c) { return stripped(s, a, c, Side::Left); }},
      {"removeprefix",
       1,
       {"/prefix"},
       false,
       [](const Value &s, const Args &a, Ctx &c) { return withoutFix(s, a, c, false); }},
      {"removesuffix",
       1,
       {"/suffix"},
       false,
       [](const Value &s, const Args &a, Ctx &c) { return withoutFix(s, a, c, true); }},
      {"replace", 2, {"/old", "/new", "/count"}, false, replaceText},
      {"rsplit",
       0,
       {"sep", "maxsplit"},
       false,
       [](const Value &s, const Args &a, Ctx &c) { return splitText(s, a, c, true); }},
      {"rstrip",
       0,
       {"/chars"},
       false,
       [](const Value &s, const Args &a, Ctx &c) { return stripped(s, a, c, Side::Right); }},
      {"split",
       0,
       {"sep", "maxsplit"},
       false,
       [](const Value &s, const Args &a, Ctx &c) { return splitText(s, a, c, false); }},
      {"splitlines",
       0,
       {},
       false,
       [](const Value &s, const Args &, Ctx &c) {
         c.budget.charge(16 * textOf(s).size());
         return listOf(splitLines(textOf(s)), c.budget);
       }},
      {"startswith",
       1,
       {"/prefix"},
       false,
       [](const Value &s, const Args &a, Ctx &c) { return touches(s, a, c, false); }},
      {"strip",
       0,
       {"/chars"},
       false,
       [](const Value &s, const Args &a, Ctx &c) { return stripped(s, a, c, Side::Both); }},
      {"upper",
       0,
       {},
       false,
       [](const Value &s, const Args &, Ctx &c) { return changedCase(textOf(s), Case::Upper, c); }},
  };
  return kMethods;
}

/// items, keys, values.
Value view(const Value &s, Ctx &c, bool keys, bool values) {
  Values out;
  for (const auto &[key, value] : s.dict()->entries) {
    c.budget.charge(32 + key.size());
    if (keys && values)
      out.push_back(makeSequence(Sequence::Kind::Tuple, {key, value}, c.budget));
    else
      out.push_back(keys ? Value(key) : value);
  }
  return makeSequence(Sequence::Kind::View, std::move(out), c.budget);
}

const std::vector<Builtin> &dictMethods() {
  static const std::vector<Builtin> kMethods = {
      {"get",
       1,
       {"/key", "/default"},
       false,
       [](const Value &s, const Args &a, Ctx &c) {
         const std::string *key = a[0]->string();
         const Value *hit = key ? s.dict()->find(*key, c.budget) : nullptr;
         return hit ? *hit : a[1] ? *a[1] : Value();
       }},
      {"items",
       0,
       {},
       false,
       [](const Value &s, const Args &, Ctx &c) { return view(s, c, true, true); }},
      {"keys",
       0,
       {},
       false,
       [](const Value &s, const Args &, Ctx &c) { return view(s, c, true, false); }},
      {"values",
       0,
       {},
       false,
       [](const Value &s, const Args &, Ctx &c) { return view(s, c, false, true); }},
  };
  return kMethods;
}

const std::vector<Builtin> &listMethods() {
  static const std::vector<Builtin> kMethods = {
      {"count",
       1,
       {"/value"},
       false,
       [](const Value &s, const Args &a, Ctx &c) {
         Int count = 0;
         for (const Value &item : s.sequence()->items)
           count += equal(item, *a[0], c.budget);
         return Value(count);
       }},
      {"index",
       1,
       {"/value"},
       false,
       [](const Value &s, const Args &a, Ctx &c) {
         const Values &items = s.sequence()->items;
         for (size_t i = 0; i < items.size(); ++i)
           if (equal(items[i], *a[0], c.budget))
             return Value(Int(i));
         failRender("index: the value is not in the list");
       }},
  };
  return kMethods;
}

const Builtin *find(const std::vector<Builtin> &table, std::string_view name) {
  for (const Builtin &entry : table)
    if (name == entry.name)
      return &entry;
  return nullptr;
}

} // namespace

const Builtin *findStringMethod(std::string_view name) { return find(stringMethods(), name); }
const Builtin *findDictMethod(std::string_view name) { return find(dictMethods(), name); }
const Builtin *findListMethod(std::string_view name) { return find(listMethods(), name); }

bool isMutatingMethod(const Value &object, std::string_view name) {
  static constexpr std::string_view kDict[] = {"clear", "pop", "popitem", "setdefault", "update"};
  static constexpr std::string_view kList[] = {"append", "clear",  "extend",  "insert",
                                               "pop",    "remove", "reverse", "sort"};
  if (object.dict())
    return std::count(std::begin(kDict), std::end(kDict), name);
  return object.sequence() && object.sequence()->kind == Sequence::Kind::List &&
         std::count(std::begin(kList), std::end(kList), name);
}

} // namespace sinter::jinja
