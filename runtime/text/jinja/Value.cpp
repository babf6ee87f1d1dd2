//===- Value.cpp - building, comparing and iterating values ---------------===//
#include "runtime/text/jinja/Value.h"

#include <cmath>
#include <cstring>

#include "runtime/text/Unicode.h"
#include "runtime/text/jinja/PythonText.h"

namespace sinter::jinja {

namespace {

constexpr unsigned kMaxNesting = 100;

unsigned depthOf(const Value &value) {
  if (const Sequence *s = value.sequence())
    return s->depth;
  if (const Dict *d = value.dict())
    return d->depth;
  return 0;
}

void checkDepth(unsigned depth) {
  if (depth > kMaxNesting)
    throw Error{StatusCode::ResourceExhausted,
                "values nest deeper than " + std::to_string(kMaxNesting) + " levels"};
}

/// -1, 0, 1; numbers only. NaN compares as unordered: 2.
int compareNumbers(const Value &a, const Value &b) {
  Int x, y;
  if (a.asInt(x) && b.asInt(y))
    return x < y ? -1 : x > y;
  const auto wide = [](const Value &v) {
    Int i;
    return v.asInt(i) ? static_cast<long double>(i) : static_cast<long double>(*v.floating());
  };
  const long double p = wide(a), q = wide(b);
  if (std::isnan(p) || std::isnan(q))
    return 2;
  return p < q ? -1 : p > q;
}

bool equalDicts(const Dict &a, const Dict &b, Budget &budget) {
  if (a.entries.size() != b.entries.size())
    return false;
  for (const auto &[key, value] : a.entries) {
    const Value *other = b.find(key, budget);
    if (!other || !equal(value, *other, budget))
      return false;
  }
  return true;
}

bool equalSequences(const Sequence &a, const Sequence &b, Budget &budget) {
  if (&a == &b)
    return true;
  if (!a.indexable() || a.kind != b.kind || a.items.size() != b.items.size())
    return false;
  for (size_t i = 0; i < a.items.size(); ++i)
    if (!equal(a.items[i], b.items[i], budget))
      return false;
  return true;
}

} // namespace

bool Value::asInt(Int &out) const {
  if (auto *b = boolean()) {
    out = *b;
    return true;
  }
  if (auto *i = std::get_if<Int>(&data_)) {
    out = *i;
    return true;
  }
  return false;
}

const std::string *Value::safeText() const {
  const Safe *safe = shared<const Safe>();
  return safe ? &safe->text : nullptr;
}

double Value::asDouble() const {
  Int i;
  return asInt(i) ? static_cast<double>(i) : *floating();
}

bool Value::truthy() const {
  Int i;
  if (asInt(i))
    return i != 0;
  if (auto *d = floating())
    return *d != 0;
  if (auto *s = string())
    return !s->empty();
  if (auto *s = safeText())
    return !s->empty();
  if (auto *s = sequence())
    return s->kind == Sequence::Kind::Generator || !s->items.empty();
  if (auto *d = dict())
    return !d->entries.empty();
  return !isUndefined() && !isNone();
}

const char *Value::typeName() const {
  static constexpr const char *kSequences[] = {"list", "tuple", "generator", "view", "range"};
  if (isUndefined())
    return "undefined";
  if (isNone())
    return "None";
  if (boolean())
    return "bool";
  if (isInt())
    return "int";
  if (floating())
    return "float";
  if (string())
    return "str";
  if (auto *s = sequence())
    return kSequences[static_cast<int>(s->kind)];
  if (dict())
    return "dict";
  if (safeText())
    return "safe text";
  return nameSpace() ? "namespace" : loop() ? "loop" : method() ? "method" : "macro";
}

const Value *Dict::find(std::string_view key, Budget &budget) const {
  budget.charge(entries.size() / 4);
  for (const auto &[name, value] : entries)
    if (name == key)
      return &value;
  return nullptr;
}

Value undefined(std::string hint) {
  return Undefined{std::make_shared<const std::string>(std::move(hint))};
}

void checkStorable(const Value &value) {
  if (value.nameSpace() || value.loop() || value.method() || value.macro() || value.safeText())
    refuseRender(std::string("a ") + value.typeName() + " inside a list, dict or namespace");
}

Value makeSequence(Sequence::Kind kind, Values items, Budget &budget) {
  budget.charge(32 * (items.size() + 2));
  unsigned depth = 0;
  for (const Value &item : items) {
    checkStorable(item);
    depth = std::max(depth, depthOf(item));
  }
  checkDepth(depth + 1);
  return std::make_shared<const Sequence>(Sequence{kind, std::move(items), depth + 1});
}

Value makeList(Values items, Budget &budget) {
  return makeSequence(Sequence::Kind::List, std::move(items), budget);
}

Value makeDict(Entries entries, Budget &budget) {
  budget.charge(64 * (entries.size() + 1));
  unsigned depth = 0;
  for (const auto &[key, value] : entries) {
    budget.charge(key.size());
    checkStorable(value);
    depth = std::max(depth, depthOf(value));
  }
  checkDepth(depth + 1);
  return std::make_shared<const Dict>(Dict{std::move(entries), depth + 1});
}

void setEntry(Entries &entries, const std::string &key, Value value, Budget &budget) {
  budget.charge(64 + key.size() + entries.size() / 4);
  for (auto &[name, old] : entries)
    if (name == key) {
      old = std::move(value);
      return;
    }
  entries.emplace_back(key, std::move(value));
}

static Value convert(const nlohmann::ordered_json &json, const std::string &what, Budget &budget,
                     unsigned level) {
  checkDepth(level);
  using Type = nlohmann::ordered_json::value_t;
  const auto check = [&](const std::string &text) {
    if (auto offset = text::findInvalidUtf8(text))
      failRender(what + ": a string is not valid UTF-8 at its byte " + std::to_string(*offset));
  };
  switch (json.type()) {
  case Type::null:
    return {};
  case Type::boolean:
    return json.get<bool>();
  case Type::number_integer:
    return Int(json.get<int64_t>());
  case Type::number_unsigned:
    return Int(json.get<uint64_t>());
  case Type::number_float:
    return json.get<double>();
  case Type::string: {
    const auto &text = json.get_ref<const std::string &>();
    budget.charge(text.size() + 32);
    check(text);
    return text;
  }
  case Type::array: {
    Values items;
    items.reserve(json.size());
    for (const auto &item : json)
      items.push_back(convert(item, what, budget, level + 1));
    return makeList(std::move(items), budget);
  }
  case Type::object: {
    Entries entries;
    entries.reserve(json.size());
    for (const auto &[key, item] : json.items()) {
      check(key);
      entries.emplace_back(key, convert(item, what, budget, level + 1));
    }
    return makeDict(std::move(entries), budget);
  }
  default:
    failRender(what + ": a value is not JSON");
  }
}

Value fromJson(const nlohmann::ordered_json &json, const std::string &what, Budget &budget) {
  return convert(json, what, budget, 0);
}

bool equal(const Value &a, const Value &b, Budget &budget) {
  budget.charge(4);
  if (a.isNumber() && b.isNumber())
    return compareNumbers(a, b) == 0;
  if (a.string() && b.string()) {
    budget.charge(a.string()->size() / 16);
    return *a.string() == *b.string();
  }
  if (a.sequence() && b.sequence())
    return equalSequences(*a.sequence(), *b.sequence(), budget);
  if (a.dict() && b.dict())
    return a.dict() == b.dict() || equalDicts(*a.dict(), *b.dict(), budget);
  if (a.isNone() || a.isUndefined())
    return a.isNone() ? b.isNone() : b.isUndefined();
  return (a.nameSpace() && a.nameSpace() == b.nameSpace()) || (a.loop() && a.loop() == b.loop()) ||
         (a.macro() && a.macro() == b.macro());
}

bool less(const Value &a, const Value &b, Budget &budget) {
  budget.charge(4);
  if (a.isNumber() && b.isNumber())
    return compareNumbers(a, b) == -1;
  if (a.string() && b.string()) {
    budget.charge(a.string()->size() / 16);
    return *a.string() < *b.string(); // UTF-8 sorts as its code points do
  }
  const Sequence *x = a.sequence(), *y = b.sequence();
  if (x && y && x->indexable() && x->kind == y->kind && x->kind != Sequence::Kind::Range) {
    for (size_t i = 0; i < x->items.size() && i < y->items.size(); ++i)
      if (!equal(x->items[i], y->items[i], budget))
        return less(x->items[i], y->items[i], budget);
    return x->items.size() < y->items.size();
  }
  failRender(std::string("cannot order ") + a.typeName() + " and " + b.typeName());
}

bool contains(const Value &haystack, const Value &needle, Budget &budget) {
  if (auto *text = haystack.string()) {
    if (!needle.string())
      failRender(std::string("\"in\" a str needs a str, not ") + needle.typeName());
    budget.charge(text->size() / 8);
    return findText(*text, *needle.string(), 0) != std::string::npos;
  }
  if (auto *dict = haystack.dict()) {
    const Sequence *list = needle.sequence();
    if (needle.dict() || (list && list->kind == Sequence::Kind::List))
      failRender(std::string("a ") + needle.typeName() + " cannot be a key of a dict");
    return needle.string() && dict->find(*needle.string(), budget);
  }
  const auto items = iterate(haystack, budget);
  for (const Value &item : items->items)
    if (equal(item, needle, budget))
      return true;
  return false;
}

std::shared_ptr<const Sequence> iterate(const Value &value, Budget &budget) {
  const auto list = [&](Values items) {
    budget.charge(32 * items.size());
    return std::make_shared<const Sequence>(Sequence{Sequence::Kind::List, std::move(items), 1});
  };
  if (const Sequence *sequence = value.sequence()) {
    if (sequence->kind == Sequence::Kind::Generator && std::exchange(sequence->consumed, true))
      refuseRender("using the result of a filter such as map or select twice (add \"| list\")");
    // Shares ownership with the value that holds it.
    return value.sharedSequence();
  }
  Values items;
  if (const Dict *dict = value.dict()) {
    for (const auto &[key, unused] : dict->entries) {
      budget.charge(key.size());
      items.emplace_back(key);
    }
    return list(std::move(items));
  }
  if (const std::string *text = value.string()) {
    budget.charge(64 * text->size());
    for (size_t at = 0; at < text->size();) {
      const size_t bytes = text::decodeAt(*text, at).bytes;
      items.emplace_back(text->substr(at, bytes));
      at += bytes;
    }
    return list(std::move(items));
  }
  if (value.isUndefined())
    return list({});
  failRender(std::string("cannot iterate over ") + value.typeName());
}

size_t length(const Value &value, Budget &budget) {
  if (auto *text = value.string()) {
    budget.charge(text->size() / 8);
    return countCodePoints(*text);
  }
  if (auto *sequence = value.sequence(); sequence && sequence->kind != Sequence::Kind::Generator)
    return sequence->items.size();
  if (auto *dict = value.dict())
    return dict->entries.size();
  if (auto *loop = value.loop())
    return loop->items->items.size();
  if (value.isUndefined())
    return 0;
  failRender(std::string(value.typeName()) + " has no length");
}

} // namespace sinter::jinja
