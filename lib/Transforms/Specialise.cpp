//===- Specialise.cpp - one function per token range and head -------------===//
//
// step(T) -> step_m1_argmax(1), step_m1_logits(1), step_m2_2048_argmax(2..2048), ...
//
// Static T lets a kernel be built for it; a CPU kernel takes T at run time and gains nothing, which
// is why that target asks for "1,2-max" only.
//
//===----------------------------------------------------------------------===//
#include "sinter/Transforms/Passes.h"
#include "sinter/Transforms/TokenRanges.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace sinter::xfmr {
#define GEN_PASS_DEF_SPECIALISE
#include "sinter/Transforms/Passes.h.inc"
} // namespace sinter::xfmr

using namespace mlir;
using namespace sinter::xfmr;

namespace {

std::string nameOf(StringRef base, TokenRange range, StringRef head) {
  std::string m = "_m" + std::to_string(range.lo);
  if (!range.isStatic())
    m += "_" + std::to_string(range.hi);
  if (range.maxQ)
    m += "_q" + std::to_string(range.maxQ);
  if (range.maxRows)
    m += "_r" + std::to_string(range.maxRows);
  return base.str() + m + "_" + head.str();
}

/// The type with its first dimension, dynamic so far, set to `tokens`.
Type withTokens(Type type, int64_t tokens) {
  auto tensor = cast<RankedTensorType>(type);
  SmallVector<int64_t> shape(tensor.getShape());
  shape[0] = tokens;
  return tensor.clone(shape);
}

/// The tokens of a step: its first i32 vector.
BlockArgument tokensArgument(func::FuncOp func) {
  for (BlockArgument arg : func.getArguments())
    if (auto type = dyn_cast<RankedTensorType>(arg.getType());
        type && type.getRank() == 1 && type.getElementType().isInteger(32))
      return arg;
  return {};
}

/// The value whose row count an op's results have: its rows for select_rows, else any tensor that
/// counts tokens.
bool countsTokens(Operation &op, const DenseSet<Value> &counted) {
  if (auto select = dyn_cast<SelectRowsOp>(op))
    return counted.contains(select.getRows());
  return llvm::any_of(op.getOperands(), [&](Value v) { return counted.contains(v); });
}

/// Gives T its value in every type that has it: from the tokens argument down.
void makeTokensStatic(func::FuncOp func, int64_t tokens) {
  BlockArgument arg = tokensArgument(func);
  if (!cast<RankedTensorType>(arg.getType()).isDynamicDim(0))
    return;
  DenseSet<Value> counted = {arg};
  arg.setType(withTokens(arg.getType(), tokens));
  for (Operation &op : func.getBody().front()) {
    if (!countsTokens(op, counted))
      continue;
    for (OpResult result : op.getResults()) {
      auto type = dyn_cast<RankedTensorType>(result.getType());
      if (!type || type.getRank() == 0 || !type.isDynamicDim(0))
        continue;
      result.setType(withTokens(type, tokens));
      counted.insert(result);
    }
  }
}

void updateSignature(func::FuncOp func) {
  Operation *terminator = func.getBody().front().getTerminator();
  func.setFunctionType(FunctionType::get(
      func.getContext(), func.getBody().front().getArgumentTypes(), terminator->getOperandTypes()));
}

/// The logits: the one matrix that the step returns.
OpOperand *logitsOperand(func::FuncOp func) {
  OpOperand *logits = nullptr;
  for (OpOperand &operand : func.getBody().front().getTerminator()->getOpOperands())
    if (auto type = dyn_cast<RankedTensorType>(operand.get().getType());
        type && type.getRank() == 2) {
      if (logits)
        return nullptr;
      logits = &operand;
    }
  return logits;
}

/// return logits, ... -> return argmax(logits).value, .index, ...
void replaceLogitsByArgmax(func::FuncOp func) {
  Operation *terminator = func.getBody().front().getTerminator();
  OpOperand *logits = logitsOperand(func);
  unsigned at = logits->getOperandNumber();
  OpBuilder b(terminator);
  int64_t rows = cast<RankedTensorType>(logits->get().getType()).getDimSize(0);
  Location loc = NameLoc::get(b.getStringAttr("argmax"));
  auto argmax = ArgmaxOp::create(b, loc, RankedTensorType::get({rows}, b.getF32Type()),
                                 RankedTensorType::get({rows}, b.getI32Type()), logits->get());
  SmallVector<Value> results(terminator->getOperands());
  results[at] = argmax.getValue();
  results.insert(results.begin() + at + 1, argmax.getIndex());
  terminator->setOperands(results);
  // Attributes of results no longer match in number; they hold nothing for a step.
  func.removeResAttrsAttr();
}

struct SpecialisePass : sinter::xfmr::impl::SpecialiseBase<SpecialisePass> {
  using SpecialiseBase::SpecialiseBase;

  void runOnOperation() override {
    SmallVector<func::FuncOp> entries;
    for (auto func : getOperation().getOps<func::FuncOp>())
      if (func->hasAttr(kEntryAttr) && !func->hasAttr(kHeadAttr) && !func.isExternal())
        entries.push_back(func);
    for (func::FuncOp entry : entries)
      if (failed(specialise(entry)))
        return signalPassFailure();
  }

  LogicalResult specialise(func::FuncOp entry) {
    auto bounds = TokenRange::of(entry);
    if (!bounds || !tokensArgument(entry))
      return entry.emitError("needs 'xfmr.tokens' and a vector of i32 tokens to be specialised");
    if (!logitsOperand(entry))
      return entry.emitError("must return one matrix, the logits, to be specialised");
    // A graph written for one number of tokens serves that number only.
    auto tokens = cast<RankedTensorType>(tokensArgument(entry).getType());
    if (tokens.hasStaticShape())
      bounds = TokenRange{tokens.getDimSize(0), tokens.getDimSize(0)};
    std::string error;
    SmallVector<TokenRange> ranges = tokenRanges.empty()
                                         ? defaultTokenRanges(*bounds)
                                         : parseTokenRanges(tokenRanges, *bounds, error);
    if (ranges.empty())
      return entry.emitError(error);
    SmallVector<StringRef> wanted;
    StringRef(heads).split(wanted, ',');
    OpBuilder b(entry);
    for (TokenRange range : ranges)
      for (StringRef head : wanted) {
        if (head != "logits" && head != "argmax")
          return entry.emitError("head '") << head << "' is not logits or argmax";
        build(b, entry, range, head);
      }
    entry.erase();
    return success();
  }

  void build(OpBuilder &b, func::FuncOp entry, TokenRange range, StringRef head) {
    auto clone = cast<func::FuncOp>(b.clone(*entry));
    clone.setSymName(nameOf(entry.getSymName(), range, head));
    if (head == "argmax")
      replaceLogitsByArgmax(clone);
    if (range.isStatic())
      makeTokensStatic(clone, range.lo);
    updateSignature(clone);
    clone->setAttr(kTokensAttr, b.getDenseI64ArrayAttr({range.lo, range.hi}));
    clone->setAttr(kHeadAttr, b.getStringAttr(head));
    if (range.maxQ)
      clone->setAttr(kMaxQAttr, b.getI64IntegerAttr(range.maxQ));
    if (range.maxRows)
      clone->setAttr(kMaxRowsAttr, b.getI64IntegerAttr(range.maxRows));
    bool reduces =
        clone->walk([](AllReduceOp) { return WalkResult::interrupt(); }).wasInterrupted();
    bool large = coverCFrom > 0 && range.lo >= coverCFrom;
    clone->setAttr(kCoverAttr, b.getStringAttr(reduces ? "b" : large ? "c" : "a"));
  }
};

} // namespace
