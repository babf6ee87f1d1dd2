//===- Interpreter.cpp - renders a parsed template ------------------------===//
#include "runtime/text/jinja/Interpreter.h"

#include <algorithm>

#include "runtime/text/jinja/Builtins.h"
#include "sinter/Support/Json.h"

namespace sinter::jinja {

namespace {

/// Expressions and statements being evaluated inside one another, macro calls included.
constexpr unsigned kMaxDepth = 400;

/// The variables of a template, loop body or macro call.
struct Scope {
  explicit Scope(const Scope *enclosing) : parent(enclosing) {}
  Scope(const Scope &enclosing, const std::vector<std::string> &hidden) : parent(&enclosing) {
    for (const std::string &name : hidden)
      set(name, undefined(quoteForMessage(name)));
  }

  const Scope *parent;
  std::vector<std::pair<std::string_view, Value>> names{}; ///< views into the tree

  const Value *find(std::string_view name) const {
    for (const Scope *scope = this; scope; scope = scope->parent)
      for (const auto &[key, value] : scope->names)
        if (key == name)
          return &value;
    return nullptr;
  }
  void set(std::string_view name, Value value) {
    for (auto &[key, old] : names)
      if (key == name) {
        old = std::move(value);
        return;
      }
    names.emplace_back(name, std::move(value));
  }
};

enum class Flow { Normal, Break, Continue };

class Interpreter {
public:
  Interpreter(const Entries &variables, const std::tm &now, size_t maxOutput, Budget &budget)
      : budget_(budget), now_(now), maxOutput_(maxOutput) {
    for (const auto &[name, value] : variables)
      context_.names.emplace_back(name, value);
  }

  std::string run(const Macro &program) {
    try {
      root_ = Scope(context_, program.hidden);
      execute(program.body, root_);
    } catch (Error &error) {
      if (!error.line)
        error.line = line_;
      throw;
    }
    return std::move(out_);
  }

private:
  class Nesting {
  public:
    explicit Nesting(Interpreter &interpreter) : interpreter_(interpreter) {
      if (++interpreter_.depth_ > kMaxDepth)
        throw Error{StatusCode::ResourceExhausted, "macros and expressions nest deeper than " +
                                                       std::to_string(kMaxDepth) + " levels"};
    }
    ~Nesting() { --interpreter_.depth_; }

  private:
    Interpreter &interpreter_;
  };

  void write(std::string_view text) {
    if (text.size() > maxOutput_ - std::min(maxOutput_, out_.size()))
      throw Error{StatusCode::ResourceExhausted,
                  "the text is longer than " + std::to_string(maxOutput_) + " bytes"};
    budget_.charge(text.size());
    out_ += text;
  }

  Flow execute(const Block &block, Scope &scope);
  Flow executeOne(const Stmt &stmt, Scope &scope);
  Flow executeFor(const Stmt &stmt, Scope &scope);
  void assign(const Stmt &stmt, const std::vector<std::string> &names, const Value &value,
              Scope &scope);
  void setBlock(const Stmt &stmt, Scope &scope);
  void setAttribute(const Stmt &stmt, Scope &scope);
  std::shared_ptr<const Sequence> loopItems(const Stmt &stmt, Scope &scope);
  /// What a block prints, as a value.
  std::string capture(const Block &block, Scope &scope);

  Value evaluate(const Expr &expr, Scope &scope);
  Value evaluateKind(const Expr &expr, Scope &scope);
  Value container(const Expr &expr, Scope &scope);
  Value dictLiteral(const Expr &expr, Scope &scope);
  Value compare(const Expr &expr, Scope &scope);
  Value slice(const Expr &expr, Scope &scope);
  Value attribute(const Value &object, const std::string &name);
  Value loopAttribute(const Loop &loop, const std::string &name);
  Value callBuiltin(const Expr &expr, const Value &subject, Scope &scope);
  Value callFunction(const Expr &expr, Scope &scope);
  Value callMethod(const Expr &expr, Scope &scope);
  Value callMacro(const Expr &expr, Scope &scope);

  Budget &budget_;
  const std::tm &now_;
  const size_t maxOutput_;
  std::string out_;
  Scope context_{nullptr}; ///< what the caller passes
  Scope root_{&context_};
  int line_ = 0;
  unsigned depth_ = 0;
  unsigned loops_ = 0;
};

Flow Interpreter::execute(const Block &block, Scope &scope) {
  for (const Stmt &stmt : block)
    if (const Flow flow = executeOne(stmt, scope); flow != Flow::Normal)
      return flow;
  return Flow::Normal;
}

Flow Interpreter::executeOne(const Stmt &stmt, Scope &scope) {
  Nesting guard(*this);
  budget_.charge(16);
  line_ = stmt.line;
  switch (stmt.kind) {
  case StmtKind::Data:
    write(stmt.text);
    return Flow::Normal;
  case StmtKind::Output: {
    const Value value = evaluate(*stmt.expr, scope);
    write(value.safeText() ? *value.safeText() : toText(value, budget_));
    return Flow::Normal;
  }
  case StmtKind::Set:
    assign(stmt, stmt.names, evaluate(*stmt.expr, scope), scope);
    return Flow::Normal;
  case StmtKind::SetBlock:
    setBlock(stmt, scope);
    return Flow::Normal;
  case StmtKind::SetAttribute:
    setAttribute(stmt, scope);
    return Flow::Normal;
  case StmtKind::If:
    for (const auto &[condition, body] : stmt.branches)
      if (!condition || evaluate(*condition, scope).truthy())
        return execute(body, scope);
    return Flow::Normal;
  case StmtKind::For:
    return executeFor(stmt, scope);
  case StmtKind::Macro:
    scope.set(stmt.macro->name, stmt.macro.get());
    return Flow::Normal;
  case StmtKind::Generation: {
    Scope inner(scope, stmt.hidden);
    return execute(stmt.body, inner);
  }
  case StmtKind::Break:
    return Flow::Break;
  case StmtKind::Continue:
    return Flow::Continue;
  }
  return Flow::Normal;
}

void Interpreter::assign(const Stmt &stmt, const std::vector<std::string> &names,
                         const Value &value, Scope &scope) {
  if (names.size() == 1)
    return scope.set(names[0], value);
  const auto parts = iterate(value, budget_);
  line_ = stmt.line;
  if (parts->items.size() != names.size())
    failRender("cannot unpack " + std::to_string(parts->items.size()) + " values into " +
               std::to_string(names.size()) + " names");
  for (size_t i = 0; i < names.size(); ++i)
    scope.set(names[i], parts->items[i]);
}

std::string Interpreter::capture(const Block &block, Scope &scope) {
  std::string saved = std::exchange(out_, std::string());
  execute(block, scope);
  return std::exchange(out_, std::move(saved));
}

void Interpreter::setBlock(const Stmt &stmt, Scope &scope) {
  Scope inner(scope, stmt.hidden);
  Value text = capture(stmt.body, inner);
  if (stmt.expr) {
    inner.set(stmt.names[0], std::move(text));
    text = evaluate(*stmt.expr, inner);
  }
  scope.set(stmt.names[0], std::move(text));
}

void Interpreter::setAttribute(const Stmt &stmt, Scope &scope) {
  Value value = evaluate(*stmt.expr, scope);
  line_ = stmt.line;
  const Value *target = scope.find(stmt.names[0]);
  if (!target || !target->nameSpace())
    failRender("cannot set an attribute of \"" + stmt.names[0] + "\", which is no namespace");
  checkStorable(value);
  setEntry(target->nameSpace()->entries, stmt.text, std::move(value), budget_);
}

/// The items of a loop, those that its `if` refuses taken out.
std::shared_ptr<const Sequence> Interpreter::loopItems(const Stmt &stmt, Scope &scope) {
  auto items = iterate(evaluate(*stmt.expr, scope), budget_);
  if (!stmt.condition)
    return items;
  Values kept;
  for (const Value &item : items->items) {
    budget_.charge(48);
    Scope inner(&scope);
    assign(stmt, stmt.names, item, inner);
    if (evaluate(*stmt.condition, inner).truthy())
      kept.push_back(item);
  }
  return std::make_shared<const Sequence>(Sequence{Sequence::Kind::List, std::move(kept), 1});
}

Flow Interpreter::executeFor(const Stmt &stmt, Scope &scope) {
  const auto items = loopItems(stmt, scope);
  if (items->items.empty()) {
    Scope inner(scope, stmt.elseHidden);
    return execute(stmt.elseBody, inner);
  }
  const unsigned nesting = loops_++;
  for (size_t i = 0; i < items->items.size(); ++i) {
    budget_.charge(64);
    budget_.charge(64 * stmt.hidden.size());
    Scope inner(scope, stmt.hidden);
    inner.set("loop", std::make_shared<const Loop>(Loop{items, i, nesting}));
    assign(stmt, stmt.names, items->items[i], inner);
    if (execute(stmt.body, inner) == Flow::Break)
      break;
  }
  --loops_;
  return Flow::Normal;
}

Value Interpreter::evaluate(const Expr &expr, Scope &scope) {
  Nesting guard(*this);
  budget_.charge(16);
  line_ = expr.line;
  return evaluateKind(expr, scope);
}

Value Interpreter::evaluateKind(const Expr &expr, Scope &scope) {
  const auto operand = [&](size_t i) { return evaluate(*expr.operands[i], scope); };
  switch (expr.kind) {
  case ExprKind::Constant:
    return expr.constant;
  case ExprKind::Name:
    if (const Value *value = scope.find(expr.name))
      return *value;
    budget_.charge(expr.name.size());
    return undefined(quoteForMessage(expr.name));
  case ExprKind::List:
  case ExprKind::Tuple:
    return container(expr, scope);
  case ExprKind::Dict:
    return dictLiteral(expr, scope);
  case ExprKind::Attribute: {
    const Value object = operand(0);
    line_ = expr.line;
    return attribute(object, expr.name);
  }
  case ExprKind::Item: {
    const Value object = operand(0), key = operand(1);
    line_ = expr.line;
    return object.loop() && key.string() ? attribute(object, *key.string())
                                         : getItem(object, key, budget_);
  }
  case ExprKind::Slice:
    return slice(expr, scope);
  case ExprKind::Function:
    return callFunction(expr, scope);
  case ExprKind::MacroCall:
    return callMacro(expr, scope);
  case ExprKind::MethodCall:
    return callMethod(expr, scope);
  case ExprKind::Filter:
  case ExprKind::Test:
    return callBuiltin(expr, operand(0), scope);
  case ExprKind::Not:
    return !operand(0).truthy();
  case ExprKind::Negate:
  case ExprKind::Plus:
    return negate(operand(0), expr.kind == ExprKind::Negate);
  case ExprKind::And:
  case ExprKind::Or: {
    const Value left = operand(0);
    return left.truthy() == (expr.kind == ExprKind::Or) ? left : operand(1);
  }
  case ExprKind::Concat: {
    std::string out;
    for (size_t i = 0; i < expr.operands.size(); ++i)
      out += toText(operand(i), budget_);
    return out;
  }
  case ExprKind::Compare:
    return compare(expr, scope);
  case ExprKind::Conditional:
    if (operand(1).truthy())
      return operand(0);
    return expr.operands[2] ? operand(2) : undefined("an \"if\" without \"else\"");
  default: {
    const Value left = operand(0), right = operand(1);
    line_ = expr.line;
    return applyOperator(expr.kind, left, right, budget_);
  }
  }
}

Value Interpreter::container(const Expr &expr, Scope &scope) {
  Values items;
  for (const ExprPtr &operand : expr.operands)
    items.push_back(evaluate(*operand, scope));
  return makeSequence(expr.kind == ExprKind::List ? Sequence::Kind::List : Sequence::Kind::Tuple,
                      std::move(items), budget_);
}

Value Interpreter::dictLiteral(const Expr &expr, Scope &scope) {
  Entries entries;
  for (size_t i = 0; i < expr.operands.size(); i += 2) {
    const Value key = evaluate(*expr.operands[i], scope);
    if (!key.string())
      refuseRender(std::string("a dict key of type ") + key.typeName());
    setEntry(entries, *key.string(), evaluate(*expr.operands[i + 1], scope), budget_);
  }
  return makeDict(std::move(entries), budget_);
}

/// a < b < c holds when a < b and b < c; c is not evaluated when the first does not hold.
Value Interpreter::compare(const Expr &expr, Scope &scope) {
  Value left = evaluate(*expr.operands[0], scope);
  for (size_t i = 0; i < expr.comparisons.size(); ++i) {
    Value right = evaluate(*expr.operands[i + 1], scope);
    line_ = expr.line;
    if (!compareValues(expr.comparisons[i], left, right, budget_).truthy())
      return false;
    left = std::move(right);
  }
  return true;
}

Value Interpreter::slice(const Expr &expr, Scope &scope) {
  const Value object = evaluate(*expr.operands[0], scope);
  Value bounds[3];
  const Value *given[3] = {};
  for (size_t i = 0; i < 3; ++i)
    if (expr.operands[i + 1]) {
      bounds[i] = evaluate(*expr.operands[i + 1], scope);
      given[i] = &bounds[i];
    }
  line_ = expr.line;
  return getSlice(object, given[0], given[1], given[2], budget_);
}

Value Interpreter::attribute(const Value &object, const std::string &name) {
  return object.loop() ? loopAttribute(*object.loop(), name) : getAttribute(object, name, budget_);
}

Value Interpreter::loopAttribute(const Loop &loop, const std::string &name) {
  const Values &items = loop.items->items;
  const Int at = Int(loop.index0), count = Int(items.size());
  if (name == "index0")
    return at;
  if (name == "index")
    return at + 1;
  if (name == "first")
    return at == 0;
  if (name == "last")
    return at + 1 == count;
  if (name == "length")
    return count;
  if (name == "revindex0")
    return count - at - 1;
  if (name == "revindex")
    return count - at;
  if (name == "depth" || name == "depth0")
    return name == "depth" ? Int(1) : Int(0); // counts the levels of recursive loops only
  if (name == "previtem")
    return at == 0 ? undefined("loop.previtem of the first item") : items[loop.index0 - 1];
  if (name == "nextitem")
    return at + 1 == count ? undefined("loop.nextitem of the last item") : items[loop.index0 + 1];
  return undefined(quoteForMessage(name) + " of loop");
}

Value Interpreter::callBuiltin(const Expr &expr, const Value &subject, Scope &scope) {
  std::vector<Value> values(expr.arguments.size());
  Args args(expr.arguments.size(), nullptr);
  budget_.charge(8 * args.size());
  for (size_t i = 0; i < values.size(); ++i)
    if (expr.arguments[i]) {
      values[i] = evaluate(*expr.arguments[i], scope);
      args[i] = &values[i];
    }
  line_ = expr.line;
  CallContext context{budget_, now_, expr.inner};
  const Builtin *builtin = expr.builtin;
  if (expr.kind == ExprKind::MethodCall) {
    builtin = subject.string() ? findStringMethod(expr.name)
              : subject.dict() ? findDictMethod(expr.name)
                               : findListMethod(expr.name);
    const bool list = subject.sequence() && subject.sequence()->kind == Sequence::Kind::List;
    if (!builtin || !(subject.string() || subject.dict() || list) ||
        builtin->parameters.size() != args.size())
      failRender(std::string("a ") + subject.typeName() + " has no method \"" + expr.name + "\"");
  }
  return builtin->call(subject, args, context);
}

Value Interpreter::callFunction(const Expr &expr, Scope &scope) {
  if (expr.builtin->call)
    return callBuiltin(expr, Value(), scope);
  Entries entries;
  for (const auto &[name, argument] : expr.keywords)
    setEntry(entries, name, evaluate(*argument, scope), budget_);
  if (expr.name == "dict")
    return makeDict(std::move(entries), budget_);
  for (const auto &[name, value] : entries) {
    if (name[0] == '_')
      refuseRender("the attribute \"" + name + "\" of a namespace");
    checkStorable(value);
  }
  return std::make_shared<Namespace>(Namespace{std::move(entries)});
}

Value Interpreter::callMethod(const Expr &expr, Scope &scope) {
  const Value object = evaluate(*expr.operands[0], scope);
  line_ = expr.line;
  if (object.isUndefined())
    failUndefined(object);
  return callBuiltin(expr, object, scope);
}

Value Interpreter::callMacro(const Expr &expr, Scope &scope) {
  const Value *callee = scope.find(expr.name);
  if (!callee || callee->isUndefined())
    failRender("\"" + expr.name + "\" is undefined");
  const Macro *macro = callee->macro();
  if (!macro)
    failRender("\"" + expr.name + "\" is no macro");
  if (expr.operands.size() > macro->parameters.size())
    failRender("the macro \"" + macro->name + "\" takes " +
               std::to_string(macro->parameters.size()) + " arguments");
  Scope inner(root_, macro->hidden);
  std::vector<bool> given(macro->parameters.size());
  for (size_t i = 0; i < expr.operands.size(); ++i) {
    inner.set(macro->parameters[i], evaluate(*expr.operands[i], scope));
    given[i] = true;
  }
  for (const auto &[name, argument] : expr.keywords) {
    const auto at = std::find(macro->parameters.begin(), macro->parameters.end(), name);
    const auto slot = size_t(at - macro->parameters.begin());
    if (at == macro->parameters.end() || given[slot])
      failRender("the macro \"" + macro->name + "\" takes no argument \"" + name + "\"" +
                 (at == macro->parameters.end() ? "" : " twice"));
    inner.set(*at, evaluate(*argument, scope));
    given[slot] = true;
  }
  for (size_t i = 0; i < given.size(); ++i)
    if (!given[i])
      inner.set(macro->parameters[i], macro->defaults[i]
                                          ? evaluate(*macro->defaults[i], inner)
                                          : undefined(quoteForMessage(macro->parameters[i])));
  return capture(macro->body, inner);
}

} // namespace

std::string renderTemplate(const Macro &program, const Entries &variables, const std::tm &now,
                           size_t maxOutput, Budget &budget) {
  return Interpreter(variables, now, maxOutput, budget).run(program);
}

} // namespace sinter::jinja
