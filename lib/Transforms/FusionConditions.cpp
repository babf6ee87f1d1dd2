//===- FusionConditions.cpp - when a fusion is legal ----------------------===//
#include "sinter/Transforms/FusionConditions.h"

#include "mlir/Interfaces/FunctionInterfaces.h"

using namespace mlir;
using namespace sinter::xfmr;

static Type element(Value v) { return cast<RankedTensorType>(v.getType()).getElementType(); }
static bool isMatrix(Value v) { return cast<RankedTensorType>(v.getType()).getRank() == 2; }

StringRef sinter::xfmr::whySlower(Operation *op, StringRef pass, StringRef shape) {
  auto func = op->getParentOfType<FunctionOpInterface>();
  auto slower = func ? func->getAttrOfType<DictionaryAttr>(kSlowerAttr) : DictionaryAttr();
  if (!slower)
    return "";
  auto reason = slower.getAs<StringAttr>((pass + " " + shape).str());
  return reason ? reason.getValue() : StringRef();
}

std::string sinter::xfmr::matrixShape(Operation *op) {
  auto reader = dyn_cast<MatrixReaderOpInterface>(op);
  if (!reader)
    return "";
  auto shape = cast<RankedTensorType>(reader.getMatrixOperand().get().getType()).getShape();
  return std::to_string(shape[0]) + "x" + std::to_string(shape[1]);
}

bool sinter::xfmr::makeAvailable(Value value, Operation *op, RewriterBase *rewriter) {
  Operation *def = value.getDefiningOp();
  if (!def || def->getBlock() != op->getBlock() || def->isBeforeInBlock(op))
    return true;
  if (def->getNumOperands() != 0 || !isMemoryEffectFree(def))
    return false;
  if (rewriter)
    rewriter->moveOpBefore(def, op);
  return true;
}

//===----------------------------------------------------------------------===//
// linear -> add
//===----------------------------------------------------------------------===//

/// The linear that computes `v`, also behind an all_reduce.
static ResidualOpInterface linearBehind(Value v) {
  if (auto reduce = v.getDefiningOp<AllReduceOp>())
    v = reduce.getX();
  return v.getDefiningOp<ResidualOpInterface>();
}

bool sinter::xfmr::isLinearAddCandidate(AddOp add) {
  return linearBehind(add.getA()) || linearBehind(add.getB());
}

static bool feedsNorm(AddOp add) {
  return llvm::any_of(add->getUsers(), [](Operation *user) { return isa<RmsNormOp>(user); });
}

/// Why `linear`, one summand of `add`, does not take the other.
static StringRef whyNotLinearAdd(ResidualOpInterface linear, AddOp add) {
  if (linear.isRowParallel())
    return "the linear is row-parallel: every rank would add the residual";
  if (add.getA() == add.getB())
    return "the linear is added to itself";
  if (!linear->hasOneUse())
    return "the linear has another user";
  if (auto scaled = dyn_cast<RowScaleOpInterface>(linear.getOperation());
      scaled && element(scaled.getScaledInput().get()) != element(add.getResult()))
    return "the linear's result has another element type than its input";
  return whySlower(linear, "fuse-linear-add", matrixShape(linear));
}

LinearAddMatch sinter::xfmr::matchLinearAdd(AddOp add, char cover) {
  if (!isLinearAddCandidate(add))
    return {{}, {}, "no linear before the add"};
  if (cover == 'b' && feedsNorm(add))
    return {{}, {}, "the add goes with the norm after it (cover b)"};
  auto first = add.getA().getDefiningOp<ResidualOpInterface>();
  auto second = add.getB().getDefiningOp<ResidualOpInterface>();
  if (!first && !second)
    return {{}, {}, "an all-reduce stands between the linear and the add"};
  // Of two linears the later one takes the other's result.
  bool swap = !first ||
              (second && first->getBlock() == second->getBlock() && first->isBeforeInBlock(second));
  SmallVector<std::pair<ResidualOpInterface, Value>, 2> order = {{first, add.getB()},
                                                                 {second, add.getA()}};
  if (swap)
    std::swap(order[0], order[1]);
  StringRef reason;
  for (auto [linear, residual] : order) {
    if (!linear)
      continue;
    StringRef why = whyNotLinearAdd(linear, add);
    if (why.empty())
      return {linear, residual, ""};
    if (reason.empty())
      reason = why;
  }
  return {{}, {}, reason};
}

//===----------------------------------------------------------------------===//
// norm -> linear
//===----------------------------------------------------------------------===//

RmsNormOp sinter::xfmr::normBefore(RowScaleOpInterface op) {
  auto norm = op.getScaledInput().get().getDefiningOp<RmsNormOp>();
  return norm && isMatrix(norm.getX()) ? norm : RmsNormOp();
}

StringRef sinter::xfmr::whyNotNormLinear(RowScaleOpInterface op, char cover) {
  RmsNormOp norm = normBefore(op);
  if (!norm)
    return "no norm before the linear";
  if (cover == 'b' && addBefore(norm))
    return "the norm goes with the add before it (cover b)";
  if (cover == 'c' && norm.getX().getDefiningOp() &&
      isa<AddOp, LinearAddOp>(norm.getX().getDefiningOp()))
    return "the norm after a residual stays on its own (cover c)";
  if (!norm->hasOneUse())
    return "the norm has another user";
  if (auto linear = dyn_cast<ResidualOpInterface>(op.getOperation());
      linear && linear.isRowParallel())
    return "the linear is row-parallel: a rank sees only part of the row";
  auto reader = dyn_cast<MatrixReaderOpInterface>(op.getOperation());
  if (reader && element(reader.getMatrixOperand().get()) != element(norm.getGamma()))
    return "the norm's weight has another element type than the linear's";
  return whySlower(op, "fuse-rms-norm-linear", matrixShape(op));
}

//===----------------------------------------------------------------------===//
// add -> norm
//===----------------------------------------------------------------------===//

AddOp sinter::xfmr::addBefore(RmsNormOp norm) {
  return isMatrix(norm.getX()) ? norm.getX().getDefiningOp<AddOp>() : AddOp();
}

StringRef sinter::xfmr::whyNotAddNorm(RmsNormOp norm, char cover) {
  AddOp add = addBefore(norm);
  if (!add)
    return "no add before the norm";
  if (matchLinearAdd(add, cover))
    return cover == 'a' ? "the add goes into the linear before it (cover a)"
                        : "the add goes into the linear before it (cover c)";
  if (cover == 'a')
    for (Operation *user : norm->getUsers())
      if (auto scaled = dyn_cast<RowScaleOpInterface>(user);
          scaled && normBefore(scaled) == norm && whyNotNormLinear(scaled, cover).empty())
        return "the norm goes into the linear after it (cover a)";
  if (norm->getBlock() != add->getBlock() || !makeAvailable(norm.getGamma(), add))
    return "the norm's weight is computed after the add";
  return "";
}

//===----------------------------------------------------------------------===//
// linear -> argmax
//===----------------------------------------------------------------------===//

bool sinter::xfmr::isLinearArgmaxCandidate(ArgmaxOp argmax) {
  Value x = argmax.getX();
  if (auto gather = x.getDefiningOp<AllGatherOp>())
    x = gather.getX();
  return x.getDefiningOp() && isa<LinearOp, RmsNormLinearOp>(x.getDefiningOp());
}

StringRef sinter::xfmr::whyNotLinearArgmax(ArgmaxOp argmax) {
  if (!isLinearArgmaxCandidate(argmax))
    return "no linear before the argmax";
  if (argmax.getX().getDefiningOp<AllGatherOp>())
    return "an all-gather stands between the linear and the argmax";
  if (!argmax.getX().hasOneUse())
    return "the logits have another user";
  if (!element(argmax.getX()).isF32())
    return "the logits are rounded before the argmax";
  if (auto linear = argmax.getX().getDefiningOp<LinearOp>(); linear && linear.getRowParallel())
    return "the linear is row-parallel: a rank has only part of each logit";
  Operation *linear = argmax.getX().getDefiningOp();
  return whySlower(linear, "fuse-linear-argmax", matrixShape(linear));
}
