//===- Parser.h - tokens to a tree ------------------------------*- C++ -*-===//
//
// Jinja's grammar as far as chat templates use it. Whatever is left out, be it a statement, filter,
// test, function or method, is refused here with its line, and not when a conversation meets it.
//
//===----------------------------------------------------------------------===//
#pragma once

#include <set>

#include "runtime/text/jinja/Ast.h"
#include "runtime/text/jinja/Lexer.h"

namespace sinter::jinja {

/// The tokens, and what both halves of the parser do with them.
class TokenStream {
public:
  explicit TokenStream(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  const Token &current() const { return tokens_[at_]; }
  const Token &ahead() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  int line() const { return current().line; }
  const Token &next() {
    const Token &token = tokens_[at_];
    at_ += at_ + 1 < tokens_.size();
    return token;
  }
  bool at(TokenKind kind) const { return current().kind == kind; }
  bool atOp(std::string_view op) const { return at(TokenKind::Operator) && current().text == op; }
  bool atName(std::string_view name) const { return at(TokenKind::Name) && current().text == name; }
  bool skipOp(std::string_view op) { return atOp(op) && (next(), true); }
  bool skipName(std::string_view name) { return atName(name) && (next(), true); }
  void expectOp(std::string_view op);
  /// Consumes a name; `what` is what a name was expected for.
  std::string expectName(const char *what);
  /// The current token as messages show it.
  std::string describe() const;
  [[noreturn]] void failExpected(const std::string &what) const;

private:
  std::vector<Token> tokens_;
  size_t at_ = 0;
};

class ExpressionParser {
public:
  explicit ExpressionParser(TokenStream &tokens) : tokens_(tokens) {}

  /// An expression; with `tuple` also `a, b`.
  ExprPtr parse(bool tuple = false);
  /// Without a trailing `if` of its own: the iterable of a for loop.
  ExprPtr parseIterable();
  /// `| filter | filter` applied to `subject`.
  ExprPtr parseFilters(ExprPtr subject);

  /// Calls of what is no builtin: name and line. They must be macros.
  std::vector<std::pair<std::string, int>> macroCalls;

private:
  using Level = ExprPtr (ExpressionParser::*)();
  ExprPtr parseConditional();
  ExprPtr parseOr();
  ExprPtr parseAnd();
  ExprPtr parseNot();
  ExprPtr parseCompare();
  ExprPtr parseSum();
  ExprPtr parseConcat();
  ExprPtr parseProduct();
  ExprPtr parsePower();
  ExprPtr parseUnary(bool withFilters);
  ExprPtr parsePrimary();
  ExprPtr parseName();
  ExprPtr parseNumber();
  ExprPtr parseBrackets(ExprKind kind, std::string_view close, int line);
  ExprPtr parseDict(int line);
  ExprPtr parsePostfix(ExprPtr expr);
  ExprPtr parseSubscript(ExprPtr object);
  ExprPtr parseCall(ExprPtr callee);
  ExprPtr parseFilterOrTest(ExprPtr expr);
  ExprPtr parseTest(ExprPtr subject);
  ExprPtr tupleFrom(ExprPtr first, Level level);
  bool atTestArgument() const;

  struct Arguments {
    std::vector<ExprPtr> positional;
    std::vector<std::pair<std::string, ExprPtr>> keywords;
  };
  Arguments parseArguments();
  void bind(Expr &call, Arguments arguments, const std::string &what);
  void bindInner(Expr &call, const std::string &what);

  ExprPtr make(ExprKind kind, int line, std::vector<ExprPtr> operands = {});
  ExprPtr binary(ExprKind kind, ExprPtr left, ExprPtr right);
  void addDepth(Expr &expr, const ExprPtr &child);

  /// Guards the recursion of the parser itself.
  class Nesting {
  public:
    Nesting(ExpressionParser &parser);
    ~Nesting() { --parser_.nesting_; }

  private:
    ExpressionParser &parser_;
  };

  TokenStream &tokens_;
  unsigned nesting_ = 0;
};

} // namespace sinter::jinja
