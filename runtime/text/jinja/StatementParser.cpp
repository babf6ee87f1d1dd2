//===- StatementParser.cpp - statements of templates ----------------------===//
#include <algorithm>

#include "runtime/text/Unicode.h"
#include "runtime/text/jinja/Builtins.h"
#include "runtime/text/jinja/Parser.h"
#include "sinter/Support/Json.h"

namespace sinter::jinja {

void TokenStream::expectOp(std::string_view op) {
  if (!skipOp(op))
    failExpected("\"" + std::string(op) + "\"");
}

std::string TokenStream::expectName(const char *what) {
  if (!at(TokenKind::Name))
    failExpected(what);
  return next().text;
}

std::string TokenStream::describe() const {
  switch (current().kind) {
  case TokenKind::Data:
    return "text";
  case TokenKind::VariableBegin:
    return "\"{{\"";
  case TokenKind::VariableEnd:
    return "\"}}\"";
  case TokenKind::BlockBegin:
    return "\"{%\"";
  case TokenKind::BlockEnd:
    return "\"%}\"";
  case TokenKind::End:
    return "the end of the template";
  case TokenKind::String:
    return "a string";
  default:
    return quoteForMessage(current().text);
  }
}

void TokenStream::failExpected(const std::string &what) const {
  failParse(line(), "expected " + what + ", got " + describe());
}

namespace {

constexpr unsigned kMaxBlockNesting = 50;

class Parser {
public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)), expressions_(tokens_) {}

  Block run() {
    Block block = parseBlock({});
    for (const auto &[name, line] : expressions_.macroCalls)
      if (!macros_.count(name))
        refuse(line, "the function \"" + name + "\"");
    return block;
  }

private:
  /// Statements up to a tag that starts with one of `ends`, which is left at its name.
  Block parseBlock(const std::vector<std::string> &ends);
  void parseTag(Block &out, int line);
  Stmt parseIf(int line);
  Stmt parseFor(int line);
  Stmt parseMacro(int line);
  Stmt parseSet(int line);
  Stmt parseJump(const std::string &tag, int line);
  std::vector<std::string> parseTargets();
  std::string parseTarget();
  void endTag();
  /// The body of `tag`, and its end tag.
  Block parseBody(const std::string &tag, int line);
  [[noreturn]] void failUnclosed(const std::string &tag, int line) {
    failParse(line, "\"" + tag + "\" is not closed");
  }

  TokenStream tokens_;
  ExpressionParser expressions_;
  std::set<std::string> macros_;
  unsigned nesting_ = 0, loops_ = 0;
  bool inMacro_ = false;
};

Block Parser::parseBlock(const std::vector<std::string> &ends) {
  if (++nesting_ > kMaxBlockNesting)
    failParse(tokens_.line(),
              "blocks nest deeper than " + std::to_string(kMaxBlockNesting) + " levels");
  Block block;
  while (!tokens_.at(TokenKind::End)) {
    const Token &token = tokens_.next();
    const int line = token.line;
    if (token.kind == TokenKind::Data) {
      block.push_back({.kind = StmtKind::Data, .line = line, .text = token.text});
    } else if (token.kind == TokenKind::VariableBegin) {
      ExprPtr expr = expressions_.parse(true);
      if (!tokens_.at(TokenKind::VariableEnd))
        tokens_.failExpected("\"}}\"");
      tokens_.next();
      block.push_back({.kind = StmtKind::Output, .line = line, .expr = std::move(expr)});
    } else {
      const bool isEnd = tokens_.at(TokenKind::Name) &&
                         std::count(ends.begin(), ends.end(), tokens_.current().text);
      if (isEnd)
        break;
      parseTag(block, line);
    }
  }
  --nesting_;
  return block;
}

void Parser::endTag() {
  if (!tokens_.at(TokenKind::BlockEnd))
    tokens_.failExpected("\"%}\"");
  tokens_.next();
}

Block Parser::parseBody(const std::string &tag, int line) {
  Block body = parseBlock({"end" + tag});
  if (tokens_.at(TokenKind::End))
    failUnclosed(tag, line);
  tokens_.next();
  if (tag == "macro" && tokens_.at(TokenKind::Name))
    tokens_.next(); // {% endmacro name %}
  endTag();
  return body;
}

void Parser::parseTag(Block &out, int line) {
  static const std::set<std::string> kEnds = {"elif",     "else",   "endif",  "endfor",
                                              "endmacro", "endset", "endraw", "endgeneration"};
  const std::string tag = tokens_.expectName("a statement");
  if (tag == "if")
    out.push_back(parseIf(line));
  else if (tag == "for")
    out.push_back(parseFor(line));
  else if (tag == "macro")
    out.push_back(parseMacro(line));
  else if (tag == "set")
    out.push_back(parseSet(line));
  else if (tag == "break" || tag == "continue")
    out.push_back(parseJump(tag, line));
  else if (tag == "generation") {
    Stmt stmt{.kind = StmtKind::Generation, .line = line};
    endTag();
    const unsigned loops = std::exchange(loops_, 0); // jinja2 cannot leave it by break either
    stmt.body = parseBody(tag, line);
    loops_ = loops;
    out.push_back(std::move(stmt));
  } else if (kEnds.count(tag)) {
    failParse(line, "unexpected \"" + tag + "\"");
  } else {
    refuse(line, "the statement \"" + tag + "\"");
  }
}

Stmt Parser::parseIf(int line) {
  Stmt stmt{.kind = StmtKind::If, .line = line};
  ExprPtr condition = expressions_.parse(true);
  for (;;) {
    endTag();
    const bool isElse = !condition;
    Block body = isElse ? parseBlock({"endif"}) : parseBlock({"elif", "else", "endif"});
    stmt.branches.emplace_back(std::move(condition), std::move(body));
    if (tokens_.at(TokenKind::End))
      failUnclosed("if", line);
    const std::string tag = tokens_.next().text;
    if (tag == "endif")
      break;
    condition = tag == "elif" ? expressions_.parse(true) : nullptr;
  }
  endTag();
  return stmt;
}

std::string Parser::parseTarget() {
  static const std::set<std::string> kForbidden = {
      "true", "True", "false", "False", "none", "None", "if", "else",
      "elif", "for",  "in",    "is",    "not",  "and",  "or", "recursive"};
  const int line = tokens_.line();
  std::string name = tokens_.expectName("a name to assign to");
  if (kForbidden.count(name) || name == "loop")
    failParse(line, "cannot assign to \"" + name + "\"");
  return name;
}

std::vector<std::string> Parser::parseTargets() {
  const bool parenthesis = tokens_.skipOp("(");
  std::vector<std::string> names = {parseTarget()};
  while (tokens_.skipOp(",")) {
    if (tokens_.atOp("("))
      refuse(tokens_.line(), "nested unpacking");
    names.push_back(parseTarget());
  }
  if (parenthesis)
    tokens_.expectOp(")");
  return names;
}

Stmt Parser::parseFor(int line) {
  Stmt stmt{.kind = StmtKind::For, .line = line};
  stmt.names = parseTargets();
  if (!tokens_.skipName("in"))
    tokens_.failExpected("\"in\"");
  stmt.expr = expressions_.parseIterable();
  if (tokens_.skipName("if"))
    stmt.condition = expressions_.parse();
  if (tokens_.atName("recursive"))
    refuse(line, "a recursive loop");
  endTag();
  ++loops_;
  stmt.body = parseBlock({"else", "endfor"});
  --loops_;
  if (tokens_.at(TokenKind::End))
    failUnclosed("for", line);
  if (tokens_.next().text == "else") {
    endTag();
    stmt.elseBody = parseBlock({"endfor"});
    if (tokens_.at(TokenKind::End))
      failUnclosed("for", line);
    tokens_.next();
  }
  endTag();
  return stmt;
}

Stmt Parser::parseMacro(int line) {
  if (inMacro_ || loops_)
    refuse(line, "a macro inside a loop or macro");
  auto macro = std::make_shared<Macro>();
  macro->name = parseTarget();
  if (findFunction(macro->name))
    refuse(line, "a macro with the name of the function \"" + macro->name + "\"");
  tokens_.expectOp("(");
  while (!tokens_.atOp(")")) {
    const int parameterLine = tokens_.line();
    macro->parameters.push_back(parseTarget());
    if (std::count(macro->parameters.begin(), macro->parameters.end(), macro->parameters.back()) >
        1)
      failParse(parameterLine, "the parameter \"" + macro->parameters.back() + "\" is there twice");
    macro->defaults.push_back(tokens_.skipOp("=") ? expressions_.parse() : nullptr);
    if (macro->defaults.size() > 1 && !macro->defaults.back() &&
        macro->defaults[macro->defaults.size() - 2])
      failParse(parameterLine, "a parameter without a default follows one that has it");
    if (!tokens_.skipOp(","))
      break;
  }
  tokens_.expectOp(")");
  endTag();
  inMacro_ = true;
  macro->body = parseBody("macro", line);
  inMacro_ = false;
  macros_.insert(macro->name);
  Stmt stmt{.kind = StmtKind::Macro, .line = line};
  stmt.macro = std::move(macro);
  return stmt;
}

Stmt Parser::parseSet(int line) {
  Stmt stmt{.kind = StmtKind::Set, .line = line};
  stmt.names = parseTargets();
  if (tokens_.skipOp(".")) {
    const std::string attribute = tokens_.expectName("an attribute");
    if (stmt.names.size() > 1)
      refuse(line, "unpacking into attributes");
    if (attribute[0] == '_')
      refuse(line, "the attribute \"" + attribute + "\"");
    stmt.kind = StmtKind::SetAttribute;
    stmt.text = attribute;
  }
  if (tokens_.skipOp("=")) {
    stmt.expr = expressions_.parse(true);
    endTag();
    return stmt;
  }
  if (stmt.kind == StmtKind::SetAttribute || stmt.names.size() > 1)
    tokens_.failExpected("\"=\"");
  stmt.kind = StmtKind::SetBlock;
  if (tokens_.atOp("|")) {
    // The filters apply to the text of the block, which the evaluator puts in this name's place.
    auto subject = std::make_unique<Expr>(Expr{.kind = ExprKind::Name, .line = line});
    subject->name = stmt.names[0];
    stmt.expr = expressions_.parseFilters(std::move(subject));
  }
  endTag();
  stmt.body = parseBody("set", line);
  return stmt;
}

Stmt Parser::parseJump(const std::string &tag, int line) {
  if (!loops_)
    failParse(line, "\"" + tag + "\" outside a loop");
  endTag();
  return {.kind = tag == "break" ? StmtKind::Break : StmtKind::Continue, .line = line};
}

} // namespace

Macro parseTemplate(std::string_view source) {
  constexpr size_t kMaxSource = 1 << 20;
  if (source.size() > kMaxSource)
    failParse(0, "the template is larger than 1 MiB");
  if (auto offset = text::findInvalidUtf8(source))
    failParse(0, "the template is not valid UTF-8 at byte " + std::to_string(*offset));
  Macro program;
  program.body = Parser(tokenize(source)).run();
  findHiddenNames(program);
  return program;
}

} // namespace sinter::jinja
