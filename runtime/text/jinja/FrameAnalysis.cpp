//===- FrameAnalysis.cpp - which names a frame hides from the start -------===//
//
// jinja2 resolves names when it compiles: where the first mention of a name in a frame (template,
// loop body, macro, ...) is an assignment outside any `if`, and no frame around it mentions the
// name, the name is undefined in inner frames until then, even if the caller passes such a
// variable.
//
//===----------------------------------------------------------------------===//
#include <map>
#include <set>

#include "runtime/text/jinja/Ast.h"

namespace sinter::jinja {

namespace {

using Names = std::set<std::string>;

/// The mentions in one frame, frames inside it left out.
class Mentions {
public:
  explicit Mentions(const Names &declared) {
    for (const std::string &name : declared)
      load(name);
  }

  void visit(const Block &block) {
    for (const Stmt &stmt : block)
      visit(stmt);
  }
  void visit(const Expr *expr) {
    if (!expr)
      return;
    if (expr->kind == ExprKind::Name || expr->kind == ExprKind::MacroCall)
      load(expr->name);
    for (const ExprPtr &operand : expr->operands)
      visit(operand.get());
    for (const ExprPtr &argument : expr->arguments)
      visit(argument.get());
    for (const auto &[name, argument] : expr->keywords)
      visit(argument.get());
  }

  /// Name, and whether it is assigned before it is read.
  const std::map<std::string, bool> &first() const { return first_; }

private:
  void load(const std::string &name) { first_.emplace(name, false); }
  void store(const std::string &name) { first_.emplace(name, branches_ == 0); }

  void visit(const Stmt &stmt) {
    if (stmt.kind == StmtKind::SetAttribute)
      load(stmt.names[0]);
    if (stmt.kind != StmtKind::SetBlock)
      visit(stmt.expr.get());
    if (stmt.kind == StmtKind::Set || stmt.kind == StmtKind::SetBlock)
      for (const std::string &name : stmt.names)
        store(name);
    if (stmt.kind == StmtKind::Macro)
      store(stmt.macro->name);
    for (size_t i = 0; i < stmt.branches.size(); ++i) {
      // The condition of `if` itself is no branch; that of an `elif` is within the one before.
      branches_ += i > 0;
      visit(stmt.branches[i].first.get());
      branches_ -= i > 0;
      ++branches_;
      visit(stmt.branches[i].second);
      --branches_;
    }
  }

  std::map<std::string, bool> first_;
  unsigned branches_ = 0;
};

std::vector<std::string> analyzeFrame(Block &block, const Names &declared, const Names &outer);

void analyzeInner(Block &block, const Names &around) {
  for (Stmt &stmt : block) {
    for (auto &[condition, body] : stmt.branches)
      analyzeInner(body, around);
    Names declared(stmt.names.begin(), stmt.names.end());
    if (stmt.kind == StmtKind::For) {
      declared.insert("loop");
      stmt.hidden = analyzeFrame(stmt.body, declared, around);
      stmt.elseHidden = analyzeFrame(stmt.elseBody, {}, around);
    } else if (stmt.kind == StmtKind::SetBlock || stmt.kind == StmtKind::Generation) {
      stmt.hidden = analyzeFrame(stmt.body, declared, around);
    } else if (stmt.kind == StmtKind::Macro) {
      Macro &macro = *stmt.macro;
      macro.hidden =
          analyzeFrame(macro.body, Names(macro.parameters.begin(), macro.parameters.end()), around);
    }
  }
}

std::vector<std::string> analyzeFrame(Block &block, const Names &declared, const Names &outer) {
  Mentions mentions(declared);
  mentions.visit(block);
  std::vector<std::string> hidden;
  Names around = outer;
  for (const auto &[name, assignedFirst] : mentions.first()) {
    if (assignedFirst && !outer.count(name))
      hidden.push_back(name);
    around.insert(name);
  }
  analyzeInner(block, around);
  return hidden;
}

} // namespace

void findHiddenNames(Macro &program) { program.hidden = analyzeFrame(program.body, {}, {}); }

} // namespace sinter::jinja
