//===- CallParser.cpp - calls, their arguments, and filters ---------------===//
#include "runtime/text/jinja/Builtins.h"
#include "runtime/text/jinja/Parser.h"
#include "sinter/Support/Json.h"

namespace sinter::jinja {

ExprPtr ExpressionParser::parseCall(ExprPtr callee) {
  const int line = callee->line;
  Arguments arguments = parseArguments();
  if (callee->kind == ExprKind::Attribute) {
    const std::string what = "the method \"" + callee->name + "\"";
    const Builtin *method = findStringMethod(callee->name);
    if (!method)
      method = findDictMethod(callee->name);
    if (!method)
      method = findListMethod(callee->name);
    if (!method)
      refuse(line, what);
    callee->kind = ExprKind::MethodCall;
    callee->builtin = method;
    bind(*callee, std::move(arguments), what);
    return callee;
  }
  if (callee->kind != ExprKind::Name)
    refuse(line, "calling anything but a function, macro or method by its name");
  const std::string what = "the function \"" + callee->name + "\"";
  if (const Builtin *function = findFunction(callee->name)) {
    callee->kind = ExprKind::Function;
    callee->builtin = function;
    bind(*callee, std::move(arguments), what);
    return callee;
  }
  macroCalls.emplace_back(callee->name, line);
  callee->kind = ExprKind::MacroCall;
  for (const ExprPtr &argument : arguments.positional)
    addDepth(*callee, argument);
  for (const auto &[name, argument] : arguments.keywords)
    addDepth(*callee, argument);
  callee->operands = std::move(arguments.positional);
  callee->keywords = std::move(arguments.keywords);
  return callee;
}

ExpressionParser::Arguments ExpressionParser::parseArguments() {
  Arguments arguments;
  tokens_.expectOp("(");
  while (!tokens_.atOp(")")) {
    const int line = tokens_.line();
    if (tokens_.atOp("*") || tokens_.atOp("**"))
      refuse(line, "unpacking arguments with \"" + tokens_.current().text + "\"");
    const Token &ahead = tokens_.ahead();
    if (tokens_.at(TokenKind::Name) && ahead.kind == TokenKind::Operator && ahead.text == "=") {
      std::string name = tokens_.next().text;
      tokens_.next();
      for (const auto &[other, unused] : arguments.keywords)
        if (other == name)
          failParse(line, "the argument \"" + name + "\" is given twice");
      arguments.keywords.emplace_back(std::move(name), parseConditional());
    } else {
      if (!arguments.keywords.empty())
        failParse(line, "a positional argument follows a named one");
      arguments.positional.push_back(parseConditional());
    }
    if (!tokens_.skipOp(","))
      break;
  }
  tokens_.expectOp(")");
  return arguments;
}

/// Puts every argument in its parameter's slot, behind any operands of the call.
void ExpressionParser::bind(Expr &call, Arguments arguments, const std::string &what) {
  const Builtin &builtin = *call.builtin;
  const size_t slots = builtin.parameters.size();
  const bool takesAnyName = builtin.variadic && slots == 0; // namespace(a=1), dict(a=1)
  const bool onlyNames = takesAnyName || (call.name == "map" && arguments.positional.size() > 1);
  if (onlyNames && !arguments.positional.empty())
    refuse(call.line, what + (takesAnyName ? " with arguments that have no name"
                                           : " with arguments for the filter it applies"));
  if (arguments.positional.size() > slots && !builtin.variadic)
    refuse(call.line, what + " with more than " + std::to_string(slots) +
                          (slots == 1 ? " argument" : " arguments"));
  for (const ExprPtr &argument : arguments.positional)
    addDepth(call, argument);
  call.arguments = std::move(arguments.positional);
  if (call.arguments.size() < slots)
    call.arguments.resize(slots);
  for (auto &[name, argument] : arguments.keywords) {
    addDepth(call, argument);
    if (takesAnyName) {
      call.keywords.emplace_back(name, std::move(argument));
      continue;
    }
    size_t slot = 0;
    while (slot < slots && name != builtin.parameters[slot])
      ++slot;
    if (slot == slots)
      refuse(call.line, what + " with the argument \"" + name + "\"");
    if (call.arguments[slot])
      failParse(call.line, what + " is given the argument \"" + name + "\" twice");
    call.arguments[slot] = std::move(argument);
  }
  for (size_t slot = 0; slot < builtin.required; ++slot)
    if (!call.arguments[slot])
      failParse(call.line, what + " needs at least " + std::to_string(builtin.required) +
                               (builtin.required == 1 ? " argument" : " arguments"));
  bindInner(call, what);
}

/// map applies a filter, select and its like a test: both named by a constant.
void ExpressionParser::bindInner(Expr &call, const std::string &what) {
  if (call.kind != ExprKind::Filter)
    return;
  const std::string &name = call.name;
  const bool select = name == "select" || name == "reject";
  const bool selectAttribute = name == "selectattr" || name == "rejectattr";
  if (name != "map" && !select && !selectAttribute)
    return;
  const size_t slot = selectAttribute ? 1 : 0;
  if (name == "map" && call.arguments[1])
    return; // map(attribute=...)
  if (!call.arguments[slot]) {
    if (name == "map")
      failParse(call.line, what + " needs at least 1 argument");
    return;
  }
  const std::string *inner = call.arguments[slot]->constant.string();
  const char *kind = name == "map" ? "filter" : "test";
  if (!inner)
    refuse(call.line, what + " with a computed " + kind);
  call.inner = name == "map" ? findFilter(*inner) : findTest(*inner);
  if (!call.inner || call.inner->variadic || *inner == "map")
    refuse(call.line, std::string("the ") + kind + " " + quoteForMessage(*inner) + " in " + what);
  const size_t given = call.arguments.size() - call.builtin->parameters.size();
  if (given > call.inner->parameters.size() || given < call.inner->required)
    failParse(call.line, std::string("the ") + kind + " \"" + *inner + "\" in " + what +
                             " has the wrong number of arguments");
}

ExprPtr ExpressionParser::parseFilters(ExprPtr subject) {
  while (tokens_.skipOp("|")) {
    const int line = tokens_.line();
    std::string name = tokens_.expectName("a filter");
    const std::string what = "the filter \"" + name + "\"";
    std::vector<ExprPtr> operands;
    operands.push_back(std::move(subject));
    subject = make(ExprKind::Filter, line, std::move(operands));
    subject->builtin = findFilter(name);
    if (!subject->builtin)
      refuse(line, what);
    subject->name = std::move(name);
    bind(*subject, tokens_.atOp("(") ? parseArguments() : Arguments(), what);
  }
  return subject;
}

} // namespace sinter::jinja
