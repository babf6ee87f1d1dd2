//===- ExpressionParser.cpp - expressions of templates --------------------===//
#include <charconv>

#include "runtime/text/jinja/Builtins.h"
#include "runtime/text/jinja/Parser.h"
#include "sinter/Support/Json.h"

namespace sinter::jinja {

namespace {

constexpr unsigned kMaxParseNesting = 50;
constexpr unsigned kMaxDepth = 200;

bool isReserved(const std::string &name) {
  static const std::set<std::string> kReserved = {"if", "else", "elif", "for", "in",
                                                  "is", "not",  "and",  "or",  "recursive"};
  return kReserved.count(name);
}

bool isDunder(std::string_view name) { return name.substr(0, 2) == "__"; }

} // namespace

ExpressionParser::Nesting::Nesting(ExpressionParser &parser) : parser_(parser) {
  if (++parser_.nesting_ > kMaxParseNesting)
    failParse(parser_.tokens_.line(),
              "expressions nest deeper than " + std::to_string(kMaxParseNesting) + " levels");
}

void ExpressionParser::addDepth(Expr &expr, const ExprPtr &child) {
  if (child)
    expr.depth = std::max(expr.depth, child->depth + 1);
  if (expr.depth > kMaxDepth)
    failParse(expr.line, "an expression has more than " + std::to_string(kMaxDepth) + " levels");
}

ExprPtr ExpressionParser::make(ExprKind kind, int line, std::vector<ExprPtr> operands) {
  auto expr = std::make_unique<Expr>(Expr{.kind = kind, .line = line});
  for (const ExprPtr &operand : operands)
    addDepth(*expr, operand);
  expr->operands = std::move(operands);
  return expr;
}

ExprPtr ExpressionParser::binary(ExprKind kind, ExprPtr left, ExprPtr right) {
  std::vector<ExprPtr> operands;
  const int line = left->line;
  operands.push_back(std::move(left));
  operands.push_back(std::move(right));
  return make(kind, line, std::move(operands));
}

/// `first` alone, or the tuple that commas behind it make.
ExprPtr ExpressionParser::tupleFrom(ExprPtr first, Level level) {
  if (!tokens_.atOp(","))
    return first;
  const int line = first->line;
  std::vector<ExprPtr> items;
  items.push_back(std::move(first));
  while (tokens_.skipOp(",")) {
    if (tokens_.at(TokenKind::VariableEnd) || tokens_.at(TokenKind::BlockEnd) || tokens_.atOp(")"))
      break;
    items.push_back((this->*level)());
  }
  return make(ExprKind::Tuple, line, std::move(items));
}

ExprPtr ExpressionParser::parse(bool tuple) {
  ExprPtr expr = parseConditional();
  return tuple ? tupleFrom(std::move(expr), &ExpressionParser::parseConditional) : std::move(expr);
}

ExprPtr ExpressionParser::parseIterable() {
  return tupleFrom(parseOr(), &ExpressionParser::parseOr);
}

ExprPtr ExpressionParser::parseConditional() {
  Nesting guard(*this);
  ExprPtr expr = parseOr();
  while (tokens_.skipName("if")) {
    std::vector<ExprPtr> operands;
    const int line = expr->line;
    operands.push_back(std::move(expr));
    operands.push_back(parseOr());
    operands.push_back(tokens_.skipName("else") ? parseConditional() : nullptr);
    expr = make(ExprKind::Conditional, line, std::move(operands));
  }
  return expr;
}

ExprPtr ExpressionParser::parseOr() {
  ExprPtr left = parseAnd();
  while (tokens_.skipName("or"))
    left = binary(ExprKind::Or, std::move(left), parseAnd());
  return left;
}

ExprPtr ExpressionParser::parseAnd() {
  ExprPtr left = parseNot();
  while (tokens_.skipName("and"))
    left = binary(ExprKind::And, std::move(left), parseNot());
  return left;
}

ExprPtr ExpressionParser::parseNot() {
  const int line = tokens_.line();
  if (!tokens_.skipName("not"))
    return parseCompare();
  Nesting guard(*this);
  std::vector<ExprPtr> operands;
  operands.push_back(parseNot());
  return make(ExprKind::Not, line, std::move(operands));
}

ExprPtr ExpressionParser::parseCompare() {
  static const std::pair<const char *, Comparison> kOperators[] = {
      {"==", Comparison::Equal},  {"!=", Comparison::NotEqual},
      {"<", Comparison::Less},    {"<=", Comparison::LessEqual},
      {">", Comparison::Greater}, {">=", Comparison::GreaterEqual}};
  std::vector<ExprPtr> operands;
  std::vector<Comparison> comparisons;
  operands.push_back(parseSum());
  for (;;) {
    const size_t before = comparisons.size();
    if (tokens_.skipName("in")) {
      comparisons.push_back(Comparison::In);
    } else if (tokens_.atName("not") && tokens_.ahead().kind == TokenKind::Name &&
               tokens_.ahead().text == "in") {
      tokens_.next();
      tokens_.next();
      comparisons.push_back(Comparison::NotIn);
    } else {
      for (const auto &[op, comparison] : kOperators)
        if (before == comparisons.size() && tokens_.skipOp(op))
          comparisons.push_back(comparison);
    }
    if (before == comparisons.size())
      break;
    operands.push_back(parseSum());
  }
  if (comparisons.empty())
    return std::move(operands[0]);
  const int line = operands[0]->line;
  ExprPtr expr = make(ExprKind::Compare, line, std::move(operands));
  expr->comparisons = std::move(comparisons);
  return expr;
}

ExprPtr ExpressionParser::parseSum() {
  ExprPtr left = parseConcat();
  for (;;) {
    if (tokens_.skipOp("+"))
      left = binary(ExprKind::Add, std::move(left), parseConcat());
    else if (tokens_.skipOp("-"))
      left = binary(ExprKind::Subtract, std::move(left), parseConcat());
    else
      return left;
  }
}

ExprPtr ExpressionParser::parseConcat() {
  std::vector<ExprPtr> operands;
  operands.push_back(parseProduct());
  while (tokens_.skipOp("~"))
    operands.push_back(parseProduct());
  if (operands.size() == 1)
    return std::move(operands[0]);
  const int line = operands[0]->line;
  return make(ExprKind::Concat, line, std::move(operands));
}

ExprPtr ExpressionParser::parseProduct() {
  static const std::pair<const char *, ExprKind> kOperators[] = {{"*", ExprKind::Multiply},
                                                                 {"/", ExprKind::Divide},
                                                                 {"//", ExprKind::FloorDivide},
                                                                 {"%", ExprKind::Modulo}};
  ExprPtr left = parsePower();
  for (bool again = true; again;) {
    again = false;
    for (const auto &[op, kind] : kOperators)
      if (!again && tokens_.skipOp(op)) {
        left = binary(kind, std::move(left), parsePower());
        again = true;
      }
  }
  return left;
}

ExprPtr ExpressionParser::parsePower() {
  ExprPtr left = parseUnary(true);
  while (tokens_.skipOp("**"))
    left = binary(ExprKind::Power, std::move(left), parseUnary(true));
  return left;
}

ExprPtr ExpressionParser::parseUnary(bool withFilters) {
  Nesting guard(*this);
  ExprPtr expr;
  if (tokens_.atOp("-") || tokens_.atOp("+")) {
    const int line = tokens_.line();
    const ExprKind kind = tokens_.next().text == "-" ? ExprKind::Negate : ExprKind::Plus;
    std::vector<ExprPtr> operands;
    operands.push_back(parseUnary(false));
    expr = make(kind, line, std::move(operands));
  } else {
    expr = parsePrimary();
  }
  expr = parsePostfix(std::move(expr));
  return withFilters ? parseFilterOrTest(std::move(expr)) : std::move(expr);
}

ExprPtr ExpressionParser::parsePrimary() {
  const int line = tokens_.line();
  switch (tokens_.current().kind) {
  case TokenKind::Name:
    return parseName();
  case TokenKind::String: {
    std::string text;
    while (tokens_.at(TokenKind::String))
      text += tokens_.next().text;
    ExprPtr expr = make(ExprKind::Constant, line);
    expr->constant = Value(std::move(text));
    return expr;
  }
  case TokenKind::Integer:
  case TokenKind::Float:
    return parseNumber();
  default:
    if (tokens_.skipOp("("))
      return parseBrackets(ExprKind::Tuple, ")", line);
    if (tokens_.skipOp("["))
      return parseBrackets(ExprKind::List, "]", line);
    if (tokens_.skipOp("{"))
      return parseDict(line);
    tokens_.failExpected("an expression");
  }
}

ExprPtr ExpressionParser::parseName() {
  const int line = tokens_.line();
  const std::string name = tokens_.expectName("an expression");
  ExprPtr expr = make(ExprKind::Constant, line);
  if (name == "true" || name == "True" || name == "false" || name == "False")
    expr->constant = Value(name[0] == 't' || name[0] == 'T');
  else if (name != "none" && name != "None") {
    if (isReserved(name))
      failParse(line, "unexpected \"" + name + "\"");
    expr->kind = ExprKind::Name;
    expr->name = name;
  }
  return expr;
}

ExprPtr ExpressionParser::parseNumber() {
  const Token token = tokens_.next();
  ExprPtr expr = make(ExprKind::Constant, token.line);
  const char *end = token.text.data() + token.text.size();
  if (token.kind == TokenKind::Float) {
    double value = 0;
    if (std::from_chars(token.text.data(), end, value).ec != std::errc())
      refuse(token.line, "the number " + token.text.substr(0, 40));
    expr->constant = Value(value);
    return expr;
  }
  int64_t value = 0;
  if (std::from_chars(token.text.data(), end, value).ec != std::errc())
    refuse(token.line, "the number " + token.text.substr(0, 40));
  expr->constant = Value(Int(value));
  return expr;
}

/// Behind `(` or `[`. A single expression in parentheses is itself; `()` and `(a,)` are tuples.
ExprPtr ExpressionParser::parseBrackets(ExprKind kind, std::string_view close, int line) {
  std::vector<ExprPtr> items;
  bool comma = false;
  while (!tokens_.atOp(close)) {
    items.push_back(parseConditional());
    comma = tokens_.skipOp(",");
    if (!comma)
      break;
  }
  tokens_.expectOp(close);
  if (kind == ExprKind::Tuple && items.size() == 1 && !comma)
    return std::move(items[0]);
  return make(kind, line, std::move(items));
}

ExprPtr ExpressionParser::parseDict(int line) {
  std::vector<ExprPtr> items;
  while (!tokens_.atOp("}")) {
    items.push_back(parseConditional());
    tokens_.expectOp(":");
    items.push_back(parseConditional());
    if (!tokens_.skipOp(","))
      break;
  }
  tokens_.expectOp("}");
  return make(ExprKind::Dict, line, std::move(items));
}

ExprPtr ExpressionParser::parsePostfix(ExprPtr expr) {
  for (;;) {
    if (tokens_.skipOp(".")) {
      const int line = tokens_.line();
      if (tokens_.at(TokenKind::Integer)) {
        expr = binary(ExprKind::Item, std::move(expr), parseNumber());
        continue;
      }
      const std::string name = tokens_.expectName("an attribute");
      if (isDunder(name))
        refuse(line, "the attribute \"" + name + "\"");
      std::vector<ExprPtr> operands;
      operands.push_back(std::move(expr));
      expr = make(ExprKind::Attribute, line, std::move(operands));
      expr->name = name;
    } else if (tokens_.skipOp("[")) {
      expr = parseSubscript(std::move(expr));
    } else if (tokens_.atOp("(")) {
      expr = parseCall(std::move(expr));
    } else {
      return expr;
    }
  }
}

ExprPtr ExpressionParser::parseSubscript(ExprPtr object) {
  const int line = tokens_.line();
  std::vector<ExprPtr> operands;
  operands.push_back(std::move(object));
  bool slice = false;
  for (int part = 0; part < 3; ++part) {
    const bool absent = tokens_.atOp(":") || (slice && tokens_.atOp("]"));
    operands.push_back(absent ? nullptr : parseConditional());
    if (!tokens_.skipOp(":"))
      break;
    slice = true;
    if (part == 2)
      tokens_.failExpected("\"]\"");
  }
  if (tokens_.atOp(","))
    refuse(line, "a subscript with a comma");
  tokens_.expectOp("]");
  if (slice)
    operands.resize(4);
  else if (auto *key = operands[1]->constant.string(); key && isDunder(*key))
    refuse(line, "the attribute " + quoteForMessage(*key));
  return make(slice ? ExprKind::Slice : ExprKind::Item, line, std::move(operands));
}

ExprPtr ExpressionParser::parseFilterOrTest(ExprPtr expr) {
  for (;;) {
    if (tokens_.atOp("|"))
      expr = parseFilters(std::move(expr));
    else if (tokens_.skipName("is"))
      expr = parseTest(std::move(expr));
    else if (tokens_.atOp("("))
      refuse(tokens_.line(), "calling the result of a filter or test");
    else
      return expr;
  }
}

/// Whether the one argument of a test stands here without parentheses, as in `x is divisibleby 3`.
bool ExpressionParser::atTestArgument() const {
  switch (tokens_.current().kind) {
  case TokenKind::String:
  case TokenKind::Integer:
  case TokenKind::Float:
    return true;
  case TokenKind::Name:
    return !tokens_.atName("else") && !tokens_.atName("or") && !tokens_.atName("and");
  default:
    return tokens_.atOp("[") || tokens_.atOp("{");
  }
}

ExprPtr ExpressionParser::parseTest(ExprPtr subject) {
  const int line = tokens_.line();
  const bool negated = tokens_.skipName("not");
  const std::string name = tokens_.expectName("a test");
  const std::string what = "the test \"" + name + "\"";
  std::vector<ExprPtr> operands;
  operands.push_back(std::move(subject));
  ExprPtr test = make(ExprKind::Test, line, std::move(operands));
  test->name = name;
  test->builtin = findTest(name);
  if (!test->builtin)
    refuse(line, what);
  Arguments arguments;
  if (tokens_.atOp("(")) {
    arguments = parseArguments();
  } else if (atTestArgument()) {
    if (tokens_.atName("is"))
      failParse(line, "tests cannot be chained with \"is\"");
    arguments.positional.push_back(parsePostfix(parsePrimary()));
  }
  bind(*test, std::move(arguments), what);
  if (!negated)
    return test;
  std::vector<ExprPtr> inverted;
  inverted.push_back(std::move(test));
  return make(ExprKind::Not, line, std::move(inverted));
}

} // namespace sinter::jinja
