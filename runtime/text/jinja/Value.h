//===- Value.h - what template expressions evaluate to ----------*- C++ -*-===//
//
// Python's values as far as chat templates meet them. Strings, sequences and dicts are shared and
// immutable, so copying a value is cheap; a namespace is the one mutable thing and can be stored in
// nothing else, so that no cycles arise. Nesting is bounded when a container is built, which lets
// everything else recurse over values freely.
//
//===----------------------------------------------------------------------===//
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <nlohmann/json.hpp>

#include "runtime/text/jinja/Error.h"

namespace sinter::jinja {

/// Wide enough for every integer of a JSON text that fits 64 bits, signed or not.
__extension__ typedef __int128 Int;

struct Macro;
class Value;
struct Sequence;
struct Dict;
struct Namespace;
struct Loop;
struct Method;
struct Safe;

/// A name or attribute that does not exist; `hint` says which.
struct Undefined {
  std::shared_ptr<const std::string> hint;
};
struct None {};

class Value {
public:
  Value() : data_(None()) {}
  Value(Undefined v) : data_(std::move(v)) {}
  Value(bool v) : data_(v) {}
  Value(Int v) : data_(v) {}
  Value(double v) : data_(v) {}
  Value(std::string v) : data_(std::make_shared<const std::string>(std::move(v))) {}
  Value(const char *v) : Value(std::string(v)) {}
  Value(std::shared_ptr<const Sequence> v) : data_(std::move(v)) {}
  Value(std::shared_ptr<const Dict> v) : data_(std::move(v)) {}
  Value(std::shared_ptr<Namespace> v) : data_(std::move(v)) {}
  Value(std::shared_ptr<const Loop> v) : data_(std::move(v)) {}
  Value(std::shared_ptr<const Method> v) : data_(std::move(v)) {}
  Value(std::shared_ptr<const Safe> v) : data_(std::move(v)) {}
  Value(const Macro *v) : data_(v) {}

  bool isUndefined() const { return std::holds_alternative<Undefined>(data_); }
  bool isNone() const { return std::holds_alternative<None>(data_); }
  const bool *boolean() const { return std::get_if<bool>(&data_); }
  const double *floating() const { return std::get_if<double>(&data_); }
  /// An int, or a bool taken as one, as Python does.
  bool asInt(Int &out) const;
  bool isInt() const { return std::holds_alternative<Int>(data_); }
  bool isNumber() const { return boolean() || isInt() || floating(); }
  double asDouble() const;
  const std::string *string() const {
    auto *p = std::get_if<std::shared_ptr<const std::string>>(&data_);
    return p ? p->get() : nullptr;
  }
  const Sequence *sequence() const { return shared<const Sequence>(); }
  std::shared_ptr<const Sequence> sharedSequence() const {
    return std::get<std::shared_ptr<const Sequence>>(data_);
  }
  const Dict *dict() const { return shared<const Dict>(); }
  Namespace *nameSpace() const { return shared<Namespace>(); }
  const Loop *loop() const { return shared<const Loop>(); }
  const Method *method() const { return shared<const Method>(); }
  const std::string *safeText() const;
  const Macro *macro() const {
    auto *p = std::get_if<const Macro *>(&data_);
    return p ? *p : nullptr;
  }
  const std::string *undefinedHint() const {
    auto *p = std::get_if<Undefined>(&data_);
    return p ? p->hint.get() : nullptr;
  }

  bool truthy() const;
  /// Python's name of the type, for messages.
  const char *typeName() const;

private:
  template <typename T> T *shared() const {
    auto *p = std::get_if<std::shared_ptr<T>>(&data_);
    return p ? p->get() : nullptr;
  }
  std::variant<None, Undefined, bool, Int, double, std::shared_ptr<const std::string>,
               std::shared_ptr<const Sequence>, std::shared_ptr<const Dict>,
               std::shared_ptr<Namespace>, std::shared_ptr<const Loop>,
               std::shared_ptr<const Method>, std::shared_ptr<const Safe>, const Macro *>
      data_;
};

using Values = std::vector<Value>;
using Entries = std::vector<std::pair<std::string, Value>>;

struct Sequence {
  /// Generator: what filters such as `map` give; always true, without length, iterated once.
  /// View: items(), keys(), values() of a dict, and range(): iterated and counted, not printed.
  enum class Kind { List, Tuple, Generator, View, Range };
  Kind kind;
  Values items;
  unsigned depth; ///< nesting, this container included
  mutable bool consumed = false;

  bool indexable() const {
    return kind == Kind::List || kind == Kind::Tuple || kind == Kind::Range;
  }
};

struct Dict {
  Entries entries; ///< in order of insertion, keys unique
  unsigned depth;
  const Value *find(std::string_view key, Budget &budget) const;
};

struct Namespace {
  Entries entries;
};

/// The variable `loop`.
struct Loop {
  std::shared_ptr<const Sequence> items;
  size_t index0 = 0;
  unsigned nesting = 0;
};

/// What the filter `safe` gives. jinja2 escapes whatever such a text is combined with, which no
/// chat template wants, so that it can be printed and nothing else.
struct Safe {
  std::string text;
};

/// A method looked up and not called: defined and true, and good for nothing else.
struct Method {
  std::string name;
};

Value undefined(std::string hint);

/// Containers; all are charged, and refuse members that may not be stored and too deep nesting.
Value makeSequence(Sequence::Kind kind, Values items, Budget &budget);
Value makeList(Values items, Budget &budget);
Value makeDict(Entries entries, Budget &budget);
void checkStorable(const Value &value);
/// Sets a key in the way of Python's dict: a new one goes to the end.
void setEntry(Entries &entries, const std::string &key, Value value, Budget &budget);

/// InvalidArgument, thrown: invalid UTF-8, binary values, nesting beyond the limit. `what` is
/// named.
Value fromJson(const nlohmann::ordered_json &json, const std::string &what, Budget &budget);

bool equal(const Value &a, const Value &b, Budget &budget);
/// a < b as Python orders them; throws where Python has no order.
bool less(const Value &a, const Value &b, Budget &budget);
/// `needle in haystack`.
bool contains(const Value &haystack, const Value &needle, Budget &budget);
/// What a for loop sees; throws when the value is not iterable.
std::shared_ptr<const Sequence> iterate(const Value &value, Budget &budget);
/// Python's len().
size_t length(const Value &value, Budget &budget);

struct JsonFormat {
  bool ensureAscii = false;
  bool sortKeys = false;
  bool pretty = false; ///< with `indent`
  std::string indent;
  std::string itemSeparator = ", ", keySeparator = ": ";
};

/// str(value): what `{{ value }}` prints.
std::string toText(const Value &value, Budget &budget);
/// repr(value).
void appendRepr(std::string &out, const Value &value, Budget &budget);
/// Python's json.dumps.
void appendJson(std::string &out, const Value &value, const JsonFormat &format, Budget &budget);
std::string intText(Int value);
std::string floatText(double value);

} // namespace sinter::jinja
