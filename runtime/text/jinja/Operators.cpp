//===- Operators.cpp - arithmetic, subscripts and attributes --------------===//
#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/text/jinja/Builtins.h"
#include "runtime/text/jinja/PythonText.h"
#include "sinter/Support/Json.h"

namespace sinter::jinja {

namespace {

constexpr Int kExactDouble = Int(1) << 53;

const char *symbol(ExprKind kind) {
  switch (kind) {
  case ExprKind::Add:
    return "+";
  case ExprKind::Subtract:
    return "-";
  case ExprKind::Multiply:
    return "*";
  case ExprKind::Divide:
    return "/";
  case ExprKind::FloorDivide:
    return "//";
  case ExprKind::Modulo:
    return "%";
  default:
    return "**";
  }
}

[[noreturn]] void failTypes(ExprKind kind, const Value &a, const Value &b) {
  failRender(std::string("cannot compute ") + a.typeName() + " " + symbol(kind) + " " +
             b.typeName());
}

/// By reference: whichever argument is evaluated first, `value` is read after the operation.
Value checked(bool overflow, const Int &value) {
  if (overflow)
    refuseRender("an integer beyond 127 bits");
  return value;
}

Value power(Int base, Int exponent) {
  if (exponent < 0) {
    if (base == 0)
      failRender("division by zero");
    return std::pow(static_cast<double>(base), static_cast<double>(exponent));
  }
  Int out = 1;
  bool overflow = false;
  // Any base but these overflows within 127 multiplications.
  const Int times =
      base >= -1 && base <= 1 ? (exponent > 2 ? 2 + exponent % 2 : exponent) : exponent;
  for (Int i = 0; i < times && !overflow; ++i)
    overflow = __builtin_mul_overflow(out, base, &out);
  return checked(overflow, out);
}

Value divide(ExprKind kind, Int a, Int b) {
  if (b == 0)
    failRender("division by zero");
  if (kind == ExprKind::Divide) {
    if (std::max(a < 0 ? -a : a, b < 0 ? -b : b) > kExactDouble)
      refuseRender("a division of integers beyond 2^53");
    return static_cast<double>(a) / static_cast<double>(b);
  }
  if (b == -1) { // the one quotient that can overflow
    Int out = 0;
    return kind == ExprKind::Modulo ? Value(Int(0))
                                    : checked(__builtin_sub_overflow(Int(0), a, &out), out);
  }
  const Int quotient = a / b - (a % b != 0 && (a < 0) != (b < 0));
  return kind == ExprKind::FloorDivide ? quotient : a - quotient * b;
}

Value integers(ExprKind kind, Int a, Int b) {
  Int out = 0;
  switch (kind) {
  case ExprKind::Add:
    return checked(__builtin_add_overflow(a, b, &out), out);
  case ExprKind::Subtract:
    return checked(__builtin_sub_overflow(a, b, &out), out);
  case ExprKind::Multiply:
    return checked(__builtin_mul_overflow(a, b, &out), out);
  case ExprKind::Power:
    return power(a, b);
  default:
    return divide(kind, a, b);
  }
}

Value floats(ExprKind kind, double a, double b) {
  switch (kind) {
  case ExprKind::Add:
    return a + b;
  case ExprKind::Subtract:
    return a - b;
  case ExprKind::Multiply:
    return a * b;
  case ExprKind::Power:
    refuseRender("\"**\" with a float");
  default:
    break;
  }
  if (b == 0)
    failRender("division by zero");
  if (kind == ExprKind::Divide)
    return a / b;
  double mod = std::fmod(a, b);
  double quotient = (a - mod) / b;
  if (mod != 0 && (b < 0) != (mod < 0)) {
    mod += b;
    quotient -= 1;
  } else if (mod == 0) {
    mod = std::copysign(0.0, b);
  }
  if (kind == ExprKind::Modulo)
    return mod;
  if (quotient == 0)
    return std::copysign(0.0, a / b);
  const double floored = std::floor(quotient);
  return quotient - floored > 0.5 ? floored + 1 : floored;
}

/// A str, list or tuple times an int.
Value repeat(const Value &value, Int times, Budget &budget) {
  if (times > std::numeric_limits<int64_t>::max())
    failRender("cannot repeat a value more than 2^63 times");
  times = std::max<Int>(times, 0);
  const size_t count = size_t(std::min<Int>(times, Int(1) << 30));
  if (auto *text = value.string()) {
    budget.charge(text->size() * count);
    std::string out;
    for (size_t i = 0; i < count && !text->empty(); ++i)
      out += *text;
    return out;
  }
  const Sequence &sequence = *value.sequence();
  budget.charge(32 * sequence.items.size() * count);
  Values items;
  for (size_t i = 0; i < count && !sequence.items.empty(); ++i)
    items.insert(items.end(), sequence.items.begin(), sequence.items.end());
  return makeSequence(sequence.kind, std::move(items), budget);
}

bool repeats(const Value &value) {
  return value.string() || (value.sequence() && value.sequence()->indexable() &&
                            value.sequence()->kind != Sequence::Kind::Range);
}

Value concatenate(const Value &a, const Value &b, Budget &budget) {
  if (a.string() && b.string()) {
    budget.charge(a.string()->size() + b.string()->size() + 32);
    return *a.string() + *b.string();
  }
  if (!repeats(a) || !repeats(b) || a.string() || b.string() ||
      a.sequence()->kind != b.sequence()->kind)
    failTypes(ExprKind::Add, a, b);
  budget.charge(32 * (a.sequence()->items.size() + b.sequence()->items.size()));
  Values items = a.sequence()->items;
  items.insert(items.end(), b.sequence()->items.begin(), b.sequence()->items.end());
  return makeSequence(a.sequence()->kind, std::move(items), budget);
}

} // namespace

void failUndefined(const Value &value) {
  const std::string *hint = value.undefinedHint();
  failRender((hint ? *hint : std::string("a value")) + " is undefined");
}

const std::string &needString(const Value &value, const char *what) {
  if (value.isUndefined())
    failUndefined(value);
  if (!value.string())
    failRender(std::string(what) + ": expected a str, got " + value.typeName());
  return *value.string();
}

Int needInt(const Value &value, const char *what) {
  Int out = 0;
  if (value.isUndefined())
    failUndefined(value);
  if (!value.asInt(out))
    failRender(std::string(what) + ": expected an int, got " + value.typeName());
  return out;
}

Value applyOperator(ExprKind kind, const Value &a, const Value &b, Budget &budget) {
  if (a.isUndefined() || b.isUndefined())
    failUndefined(a.isUndefined() ? a : b);
  Int x = 0, y = 0;
  if (a.asInt(x) && b.asInt(y))
    return integers(kind, x, y);
  if (a.isNumber() && b.isNumber())
    return floats(kind, a.asDouble(), b.asDouble());
  if (kind == ExprKind::Add)
    return concatenate(a, b, budget);
  if (kind == ExprKind::Multiply && repeats(a) && b.asInt(y))
    return repeat(a, y, budget);
  if (kind == ExprKind::Multiply && repeats(b) && a.asInt(x))
    return repeat(b, x, budget);
  if (kind == ExprKind::Modulo && a.string())
    refuseRender("formatting a str with \"%\"");
  failTypes(kind, a, b);
}

Value negate(const Value &value, bool minus) {
  if (value.isUndefined())
    failUndefined(value);
  if (Int i = 0; value.asInt(i)) {
    Int out = 0;
    return minus ? checked(__builtin_sub_overflow(Int(0), i, &out), out) : Value(i);
  }
  if (!value.floating())
    failRender(std::string("cannot negate ") + value.typeName());
  return minus ? -*value.floating() : *value.floating();
}

Value compareValues(Comparison comparison, const Value &a, const Value &b, Budget &budget) {
  if (comparison == Comparison::Equal || comparison == Comparison::NotEqual)
    return equal(a, b, budget) == (comparison == Comparison::Equal);
  if (comparison == Comparison::In || comparison == Comparison::NotIn)
    return contains(b, a, budget) == (comparison == Comparison::In);
  if (a.isUndefined() || b.isUndefined())
    failUndefined(a.isUndefined() ? a : b);
  switch (comparison) {
  case Comparison::Less:
    return less(a, b, budget);
  case Comparison::Greater:
    return less(b, a, budget);
  case Comparison::LessEqual:
    return less(a, b, budget) || equal(a, b, budget);
  default:
    return less(b, a, budget) || equal(a, b, budget);
  }
}

Value getItem(const Value &object, const Value &key, Budget &budget) {
  if (object.isUndefined())
    failUndefined(object);
  Int index = 0;
  const Sequence *sequence = object.sequence();
  if ((object.string() || (sequence && sequence->indexable())) && key.asInt(index)) {
    const Int size = Int(length(object, budget));
    if (index < 0)
      index += size;
    if (index < 0 || index >= size)
      return undefined("item " + toText(key, budget));
    if (sequence)
      return sequence->items[size_t(index)];
    const std::string &text = *object.string();
    const size_t at = byteOffset(text, size_t(index));
    return text.substr(at, byteOffset(std::string_view(text).substr(at), 1));
  }
  const std::string *name = key.string();
  if (!name)
    return undefined("item " + std::string(key.isNumber() ? toText(key, budget) : key.typeName()));
  if (const Dict *dict = object.dict())
    if (const Value *hit = dict->find(*name, budget))
      return *hit;
  return getAttribute(object, *name, budget);
}

Value getAttribute(const Value &object, const std::string &name, Budget &budget) {
  budget.charge(8);
  if (object.isUndefined())
    failUndefined(object);
  if (isMutatingMethod(object, name))
    refuseRender(std::string(object.typeName()) + "." + name);
  const bool isMethod =
      object.string()     ? findStringMethod(name) != nullptr
      : object.dict()     ? findDictMethod(name) != nullptr
      : object.sequence() ? object.sequence()->kind == Sequence::Kind::List && findListMethod(name)
                          : false;
  if (isMethod)
    return std::make_shared<const Method>(Method{name});
  if (const Dict *dict = object.dict())
    if (const Value *hit = dict->find(name, budget))
      return *hit;
  if (const Namespace *space = object.nameSpace())
    for (const auto &[key, value] : space->entries)
      if (key == name)
        return value;
  budget.charge(name.size());
  return undefined(quoteForMessage(name) + " of " + object.typeName());
}

Value getSlice(const Value &object, const Value *start, const Value *stop, const Value *step,
               Budget &budget) {
  if (object.isUndefined())
    failUndefined(object);
  const Sequence *sequence = object.sequence();
  if (!object.string() && !(sequence && sequence->indexable()))
    failRender(std::string("cannot slice ") + object.typeName());
  const auto bound = [](const Value *value, Int fallback) {
    return !value || value->isNone() ? fallback : needInt(*value, "slice");
  };
  const Int size = Int(length(object, budget));
  const Int by = bound(step, 1);
  if (by == 0)
    failRender("a slice has step zero");
  // Python clamps to [0, size], or for negative steps to [-1, size - 1].
  const Int low = by > 0 ? 0 : -1, high = by > 0 ? size : size - 1;
  const auto clamp = [&](Int index) {
    const Int limit = Int(1) << 100;
    index = std::clamp(index, -limit, limit);
    return std::clamp(index < 0 ? index + size : index, low, high);
  };
  const bool hasStart = start && !start->isNone(), hasStop = stop && !stop->isNone();
  const Int from = hasStart ? clamp(bound(start, 0)) : (by > 0 ? low : high);
  const Int to = hasStop ? clamp(bound(stop, 0)) : (by > 0 ? high : low);
  const Int stride = std::clamp(by, -(size + 1), size + 1);
  if (sequence) {
    Values items;
    for (Int i = from; stride > 0 ? i < to : i > to; i += stride) {
      budget.charge(32);
      items.push_back(sequence->items[size_t(i)]);
    }
    return makeSequence(sequence->kind, std::move(items), budget);
  }
  const std::string &text = *object.string();
  budget.charge(text.size());
  if (stride == 1) {
    const size_t begin = byteOffset(text, size_t(from)), end = byteOffset(text, size_t(to));
    return begin < end ? text.substr(begin, end - begin) : std::string();
  }
  std::string out;
  const auto letters = iterate(object, budget);
  for (Int i = from; stride > 0 ? i < to : i > to; i += stride)
    out += *letters->items[size_t(i)].string();
  return out;
}

} // namespace sinter::jinja
