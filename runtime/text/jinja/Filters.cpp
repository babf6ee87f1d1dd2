//===- Filters.cpp - `value | filter` -------------------------------------===//
#include <algorithm>
#include <charconv>
#include <cmath>

#include "runtime/text/jinja/Builtins.h"
#include "runtime/text/jinja/PythonText.h"

namespace sinter::jinja {

namespace {

using Kind = Sequence::Kind;

bool flag(const Value *argument, bool fallback) { return argument ? argument->truthy() : fallback; }

Value joinValues(const Values &items, const std::string &separator, Budget &budget) {
  std::string out;
  for (size_t i = 0; i < items.size(); ++i) {
    if (i) {
      budget.charge(separator.size());
      out += separator;
    }
    out += toText(items[i], budget);
  }
  return out;
}

/// `attribute` of map, selectattr and join: a path such as "function.name", or an index.
Value lookUpPath(Value item, const Value &path, const Value *fallback, Budget &budget) {
  const std::string *text = path.string();
  if (!text)
    return getItem(item, path, budget);
  for (std::string_view part : split(*text, ".", -1)) {
    Int index = 0;
    const bool isIndex =
        !part.empty() && part.size() < 10 &&
        std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; });
    for (char c : part)
      index = isIndex ? index * 10 + (c - '0') : 0;
    item = getItem(item, isIndex ? Value(index) : Value(std::string(part)), budget);
    if (fallback && !fallback->isNone() && item.isUndefined())
      item = *fallback;
  }
  return item;
}

Value changedCase(const Value &subject, Case to, CallContext &context) {
  char32_t bad = 0;
  auto out = changeCase(toText(subject, context.budget), to, bad);
  if (!out)
    refuseRender("changing the case of " + hexName(bad));
  return std::move(*out);
}

JsonFormat jsonFormat(const Args &args, Budget &budget) {
  JsonFormat format;
  format.ensureAscii = flag(args[0], false);
  format.sortKeys = flag(args[3], false);
  if (args[1] && !args[1]->isNone()) {
    format.pretty = true;
    format.itemSeparator = ",";
    if (auto *text = args[1]->string()) {
      format.indent = *text;
    } else {
      const Int width = std::max<Int>(needInt(*args[1], "tojson: indent"), 0);
      budget.charge(size_t(std::min<Int>(width, Int(1) << 40)));
      format.indent.assign(size_t(width), ' ');
    }
  }
  if (args[2] && !args[2]->isNone()) {
    const Sequence *pair = args[2]->sequence();
    if (!pair || !pair->indexable() || pair->items.size() != 2)
      failRender("tojson: separators must be two strings");
    format.itemSeparator = needString(pair->items[0], "tojson: separators");
    format.keySeparator = needString(pair->items[1], "tojson: separators");
  }
  return format;
}

Value toJson(const Value &subject, const Args &args, CallContext &context) {
  std::string out;
  appendJson(out, subject, jsonFormat(args, context.budget), context.budget);
  return out;
}

Value trim(const Value &subject, const Args &args, CallContext &context) {
  const std::string text = toText(subject, context.budget);
  if (!args[0] || args[0]->isNone())
    return std::string(strip(text, std::nullopt, Side::Both));
  const std::string &chars = needString(*args[0], "trim");
  context.budget.charge(text.size() * (1 + chars.size() / 16));
  return std::string(strip(text, chars, Side::Both));
}

Value join(const Value &subject, const Args &args, CallContext &context) {
  Values items = iterate(subject, context.budget)->items;
  context.budget.charge(32 * items.size());
  if (args[1] && !args[1]->isNone())
    for (Value &item : items)
      item = lookUpPath(item, *args[1], nullptr, context.budget);
  return joinValues(items, args[0] ? toText(*args[0], context.budget) : "", context.budget);
}

Value defaultTo(const Value &subject, const Args &args, CallContext &) {
  if (subject.isUndefined() || (flag(args[1], false) && !subject.truthy()))
    return args[0] ? *args[0] : Value("");
  return subject;
}

Value first(const Value &subject, const Args &, CallContext &context) {
  const auto items = iterate(subject, context.budget);
  return items->items.empty() ? undefined("the first item of an empty sequence")
                              : items->items.front();
}

Value last(const Value &subject, const Args &, CallContext &context) {
  if (subject.sequence() && subject.sequence()->kind == Kind::Generator)
    failRender("last: the result of a filter such as map cannot be read backwards");
  const auto items = iterate(subject, context.budget);
  return items->items.empty() ? undefined("the last item of an empty sequence")
                              : items->items.back();
}

Value items(const Value &subject, const Args &, CallContext &context) {
  Values pairs;
  const Dict *dict = subject.dict();
  if (!dict && !subject.isUndefined())
    failRender(std::string("items: expected a dict, got ") + subject.typeName());
  for (size_t i = 0; dict && i < dict->entries.size(); ++i)
    pairs.push_back(makeSequence(Kind::Tuple, {dict->entries[i].first, dict->entries[i].second},
                                 context.budget));
  return makeSequence(Kind::Generator, std::move(pairs), context.budget);
}

Value map(const Value &subject, const Args &args, CallContext &context) {
  Values out;
  const auto in = subject.truthy() ? iterate(subject, context.budget) : nullptr;
  if (in)
    for (const Value &item : in->items) {
      if (args[1]) {
        out.push_back(lookUpPath(item, *args[1], args[2], context.budget));
        continue;
      }
      CallContext inner{context.budget, context.now, nullptr};
      out.push_back(
          context.inner->call(item, Args(context.inner->parameters.size(), nullptr), inner));
    }
  return makeSequence(Kind::Generator, std::move(out), context.budget);
}

/// select, reject, selectattr, rejectattr: `testAt` is the argument that names the test.
Value filtered(const Value &subject, const Args &args, CallContext &context, bool wanted,
               size_t testAt) {
  Values out;
  Args rest(args.begin() + long(testAt) + 1, args.end());
  if (context.inner)
    rest.resize(context.inner->parameters.size());
  CallContext inner{context.budget, context.now, nullptr};
  const auto in = subject.truthy() ? iterate(subject, context.budget) : nullptr;
  if (in)
    for (const Value &item : in->items) {
      context.budget.charge(16);
      const Value tested = testAt ? lookUpPath(item, *args[0], nullptr, context.budget) : item;
      const bool holds =
          context.inner ? context.inner->call(tested, rest, inner).truthy() : tested.truthy();
      if (holds == wanted)
        out.push_back(item);
    }
  return makeSequence(Kind::Generator, std::move(out), context.budget);
}

Value reverse(const Value &subject, const Args &, CallContext &context) {
  const auto forward = iterate(subject, context.budget);
  Values items(forward->items.rbegin(), forward->items.rend());
  if (subject.string())
    return joinValues(items, "", context.budget);
  return makeSequence(Kind::Generator, std::move(items), context.budget);
}

/// int(text) or int(float(text)), else the default.
Value toInt(const Value &subject, const Args &args, CallContext &) {
  if (subject.isUndefined())
    failUndefined(subject);
  const Value fallback = args[0] ? *args[0] : Value(Int(0));
  if (Int i; subject.asInt(i))
    return i;
  double number = subject.floating() ? *subject.floating() : std::nan("");
  if (auto *text = subject.string()) {
    std::string digits(strip(*text, std::nullopt, Side::Both));
    if (digits.size() > 1 && digits[0] == '+' && digits[1] != '-')
      digits.erase(0, 1);
    int64_t integer = 0;
    const char *end = digits.data() + digits.size();
    const auto whole = std::from_chars(digits.data(), end, integer);
    if (whole.ptr == end && whole.ec == std::errc())
      return Int(integer);
    const auto real = std::from_chars(digits.data(), end, number);
    if (real.ptr != end || real.ec != std::errc())
      return fallback;
  }
  if (std::isnan(number) || std::isinf(number))
    return fallback;
  if (std::abs(number) >= 0x1p100)
    refuseRender("an integer beyond 2^100");
  return Int(number);
}

Value absolute(const Value &subject, const Args &, CallContext &) {
  if (Int i; subject.asInt(i))
    return i < 0 ? negate(subject, true) : Value(i);
  if (!subject.floating())
    failRender(std::string("abs: expected a number, got ") + subject.typeName());
  return std::abs(*subject.floating());
}

Value replace(const Value &subject, const Args &args, CallContext &context) {
  const Value text = toText(subject, context.budget);
  const Value from = toText(*args[0], context.budget), to = toText(*args[1], context.budget);
  const bool limited = args[2] && !args[2]->isNone();
  return findStringMethod("replace")->call(text, {&from, &to, limited ? args[2] : nullptr},
                                           context);
}

const std::vector<Builtin> &filters() {
  static const std::vector<Builtin> kFilters = {
      {"abs", 0, {}, false, absolute},
      {"capitalize",
       0,
       {},
       false,
       [](const Value &s, const Args &, CallContext &c) {
         return findStringMethod("capitalize")->call(toText(s, c.budget), {}, c);
       }},
      {"count",
       0,
       {},
       false,
       [](const Value &s, const Args &, CallContext &c) {
         return Value(Int(length(s, c.budget)));
       }},
      {"d", 0, {"default_value", "boolean"}, false, defaultTo},
      {"default", 0, {"default_value", "boolean"}, false, defaultTo},
      {"first", 0, {}, false, first},
      {"int", 0, {"default"}, false, toInt},
      {"items", 0, {}, false, items},
      {"join", 0, {"d", "attribute"}, false, join},
      {"last", 0, {}, false, last},
      {"length",
       0,
       {},
       false,
       [](const Value &s, const Args &, CallContext &c) {
         return Value(Int(length(s, c.budget)));
       }},
      {"list",
       0,
       {},
       false,
       [](const Value &s, const Args &, CallContext &c) {
         return makeList(iterate(s, c.budget)->items, c.budget);
       }},
      {"lower",
       0,
       {},
       false,
       [](const Value &s, const Args &, CallContext &c) { return changedCase(s, Case::Lower, c); }},
      {"map", 0, {"/filter", "attribute", "default"}, false, map},
      {"reject",
       0,
       {"/test"},
       true,
       [](const Value &s, const Args &a, CallContext &c) { return filtered(s, a, c, false, 0); }},
      {"rejectattr",
       1,
       {"/attribute", "/test"},
       true,
       [](const Value &s, const Args &a, CallContext &c) { return filtered(s, a, c, false, 1); }},
      {"replace", 2, {"old", "new", "count"}, false, replace},
      {"reverse", 0, {}, false, reverse},
      {"safe",
       0,
       {},
       false,
       [](const Value &s, const Args &, CallContext &c) {
         return Value(std::make_shared<const Safe>(Safe{toText(s, c.budget)}));
       }},
      {"select",
       0,
       {"/test"},
       true,
       [](const Value &s, const Args &a, CallContext &c) { return filtered(s, a, c, true, 0); }},
      {"selectattr",
       1,
       {"/attribute", "/test"},
       true,
       [](const Value &s, const Args &a, CallContext &c) { return filtered(s, a, c, true, 1); }},
      {"string",
       0,
       {},
       false,
       [](const Value &s, const Args &, CallContext &c) { return Value(toText(s, c.budget)); }},
      {"tojson", 0, {"ensure_ascii", "indent", "separators", "sort_keys"}, false, toJson},
      {"trim", 0, {"chars"}, false, trim},
      {"upper",
       0,
       {},
       false,
       [](const Value &s, const Args &, CallContext &c) { return changedCase(s, Case::Upper, c); }},
  };
  return kFilters;
}

} // namespace

const Builtin *findFilter(std::string_view name) {
  for (const Builtin &filter : filters())
    if (name == filter.name)
      return &filter;
  return nullptr;
}

} // namespace sinter::jinja
