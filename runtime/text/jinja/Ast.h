//===- Ast.h - a parsed template --------------------------------*- C++ -*-===//
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/text/jinja/Value.h"

namespace sinter::jinja {

struct Builtin;
struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

enum class ExprKind {
  Constant,   ///< `constant`
  Name,       ///< `name`
  List,       ///< operands
  Tuple,      ///< operands
  Dict,       ///< operands: key, value, key, value, ...
  Attribute,  ///< operands[0].name
  Item,       ///< operands[0][operands[1]]
  Slice,      ///< operands[0][operands[1]:operands[2]:operands[3]], absent ones null
  Function,   ///< builtin(arguments)
  MacroCall,  ///< name(operands, keywords)
  MethodCall, ///< operands[0].name(arguments)
  Filter,     ///< operands[0] | builtin(arguments)
  Test,       ///< operands[0] is builtin(arguments)
  Not,
  Negate,
  Plus,
  And,
  Or,
  Add,
  Subtract,
  Multiply,
  Divide,
  FloorDivide,
  Modulo,
  Power,
  Concat,      ///< operands joined as text
  Compare,     ///< operands[0] comparisons[0] operands[1] comparisons[1] ...
  Conditional, ///< operands[0] if operands[1] else operands[2] (null: undefined)
};

enum class Comparison { Equal, NotEqual, Less, LessEqual, Greater, GreaterEqual, In, NotIn };

struct Expr {
  ExprKind kind;
  int line;
  std::string name{};
  Value constant{};
  std::vector<ExprPtr> operands{};
  const Builtin *builtin = nullptr;
  /// One per parameter of the builtin, null where not given; behind them what a `...` takes.
  std::vector<ExprPtr> arguments{};
  std::vector<std::pair<std::string, ExprPtr>> keywords{};
  std::vector<Comparison> comparisons{};
  const Builtin *inner = nullptr; ///< the filter or test that map, select and their like apply
  unsigned depth = 1;             ///< levels of expressions in here, this one included
};

/// Generation: transformers' mark around what the assistant said; a scope, and no text of its own.
enum class StmtKind {
  Data,
  Output,
  Set,
  SetBlock,
  SetAttribute,
  If,
  For,
  Macro,
  Generation,
  Break,
  Continue
};

struct Stmt;
using Block = std::vector<Stmt>;

struct Stmt {
  StmtKind kind;
  int line;
  std::string text{};               ///< Data: the text; Macro, SetAttribute: the name
  std::vector<std::string> names{}; ///< Set, SetBlock, For: targets; several unpack a sequence
  ExprPtr expr{};      ///< Output, Set: the value; SetBlock: filters, if any; For: iterable
  ExprPtr condition{}; ///< For: the filter behind `if`
  std::vector<std::pair<ExprPtr, Block>> branches{}; ///< If: condition (null: else) and body
  Block body{}, elseBody{};
  /// Names that are undefined when the body starts, see FrameAnalysis.cpp.
  std::vector<std::string> hidden{}, elseHidden{};
  std::shared_ptr<Macro> macro{};
};

/// A macro, or a whole template: then without name and parameters.
struct Macro {
  std::string name;
  std::vector<std::string> parameters;
  std::vector<ExprPtr> defaults; ///< one per parameter, null where there is none
  Block body;
  std::vector<std::string> hidden; ///< as in Stmt
};

/// Parses a template. Throws Error.
Macro parseTemplate(std::string_view source);

/// Fills in `hidden` of the template and all frames in it.
void findHiddenNames(Macro &program);

} // namespace sinter::jinja
