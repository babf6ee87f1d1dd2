//===- Builtins.h - filters, tests, functions and methods -------*- C++ -*-===//
//
// Tables from name to implementation, which the parser uses to refuse what is not there and to bind
// arguments to parameters, so that the evaluator only passes them on.
//
//===----------------------------------------------------------------------===//
#pragma once

#include <ctime>
#include <string_view>
#include <vector>

#include "runtime/text/jinja/Ast.h"

namespace sinter::jinja {

/// What a builtin may use besides its arguments.
struct CallContext {
  Budget &budget;
  const std::tm &now;
  const Builtin *inner; ///< see Expr::inner
};

/// Arguments by parameter; null where not given. The subject (what a filter is applied to, the
/// object of a method) comes first.
using Args = std::vector<const Value *>;

struct Builtin {
  const char *name;
  size_t required;                      ///< how many of the parameters must be given
  std::vector<const char *> parameters; ///< a name that starts with '/' is positional only
  bool variadic;                        ///< takes any number of further positional arguments
  Value (*call)(const Value &subject, const Args &args, CallContext &context);
};

const Builtin *findFilter(std::string_view name);
const Builtin *findTest(std::string_view name);
const Builtin *findFunction(std::string_view name);
/// Methods of str, dict and list.
const Builtin *findStringMethod(std::string_view name);
const Builtin *findDictMethod(std::string_view name);
const Builtin *findListMethod(std::string_view name);
/// Methods that the sandbox forbids, as they change their object.
bool isMutatingMethod(const Value &object, std::string_view name);

/// object[key] and object.name of plain values as the sandbox looks them up.
Value getItem(const Value &object, const Value &key, Budget &budget);
Value getAttribute(const Value &object, const std::string &name, Budget &budget);
Value getSlice(const Value &object, const Value *start, const Value *stop, const Value *step,
               Budget &budget);
/// Throws: the value is undefined, and its name.
[[noreturn]] void failUndefined(const Value &value);
/// Python's binary operators other than comparisons.
Value applyOperator(ExprKind kind, const Value &a, const Value &b, Budget &budget);
Value compareValues(Comparison comparison, const Value &a, const Value &b, Budget &budget);
Value negate(const Value &value, bool minus);
/// The text of a string argument; throws "what: expected a str, got an int".
const std::string &needString(const Value &value, const char *what);
Int needInt(const Value &value, const char *what);

} // namespace sinter::jinja
