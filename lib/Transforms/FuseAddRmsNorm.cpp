//===- FuseAddRmsNorm.cpp - a residual add and the norm after it ----------===//
//
// s = a + b; y = rms_norm(s): one kernel with two results. Exact: the norm reads the rounded sum.
//
//===----------------------------------------------------------------------===//
#include "sinter/Transforms/FusionConditions.h"
#include "sinter/Transforms/FusionDriver.h"
#include "sinter/Transforms/FusionLog.h"
#include "sinter/Transforms/OpNames.h"
#include "sinter/Transforms/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace sinter::xfmr {
#define GEN_PASS_DEF_FUSEADDRMSNORM
#include "sinter/Transforms/Passes.h.inc"
} // namespace sinter::xfmr

using namespace mlir;
using namespace sinter::xfmr;

namespace {

bool communicates(Operation &op) {
  auto effects = dyn_cast<MemoryEffectOpInterface>(op);
  SmallVector<MemoryEffects::EffectInstance> found;
  if (!effects)
    return false;
  effects.getEffects(found);
  return llvm::any_of(found, [](const MemoryEffects::EffectInstance &effect) {
    return isa<CommResource>(effect.getResource());
  });
}

/// The all_reduce behind one summand that may move down to the add: it has no other user and no
/// collective stands between (their order is fixed).
AllReduceOp movableAllReduce(AddOp add, Value &residual) {
  for (auto [summand, other] : {std::pair{add.getA(), add.getB()}, {add.getB(), add.getA()}}) {
    auto reduce = summand.getDefiningOp<AllReduceOp>();
    if (!reduce || !reduce->hasOneUse() || reduce->getBlock() != add->getBlock())
      continue;
    auto between = llvm::make_range(std::next(reduce->getIterator()), add->getIterator());
    if (llvm::any_of(between, communicates))
      continue;
    residual = other;
    return reduce;
  }
  return {};
}

// Pattern: rms_norm(add(a, b), g) -> add_rms_norm(a, b, g)  [the add may have other users]
// Pattern: rms_norm(add(all_reduce(x), r), g) -> all_reduce_add_rms_norm(x, r, g)
//          [all_reduce has one use]
// Built where the add stands: other users of the sum may come before the norm.
struct FuseAddRmsNormPattern : OpRewritePattern<RmsNormOp> {
  FuseAddRmsNormPattern(MLIRContext *ctx, char cover, FusionLog &log)
      : OpRewritePattern(ctx), cover(cover), log(log) {}

  LogicalResult matchAndRewrite(RmsNormOp norm, PatternRewriter &rewriter) const override {
    StringRef reason = whyNotAddNorm(norm, cover);
    if (!reason.empty())
      return rewriter.notifyMatchFailure(norm, reason);
    AddOp add = addBefore(norm);
    makeAvailable(norm.getGamma(), add, &rewriter);
    rewriter.setInsertionPoint(add);
    Type type = add.getType();
    Value residual;
    Operation *fused;
    AllReduceOp reduce = movableAllReduce(add, residual);
    if (reduce)
      fused = AllReduceAddRmsNormOp::create(rewriter, fusedLocation(norm, {reduce, add}), type,
                                            type, reduce.getX(), residual, norm.getGamma(),
                                            norm.getEpsAttr(), reduce.getRanksAttr());
    else
      fused = AddRmsNormOp::create(rewriter, fusedLocation(norm, {add}), type, type, add.getA(),
                                   add.getB(), norm.getGamma(), norm.getEpsAttr());
    rewriter.replaceOp(norm, fused->getResult(1));
    rewriter.replaceOp(add, fused->getResult(0));
    if (reduce)
      rewriter.eraseOp(reduce);
    log.fused(fused);
    return success();
  }

  char cover;
  FusionLog &log;
};

struct FuseAddRmsNormPass : sinter::xfmr::impl::FuseAddRmsNormBase<FuseAddRmsNormPass> {
  using FuseAddRmsNormBase::FuseAddRmsNormBase;

  void runOnOperation() override {
    FusionLog log(getOperation(), "fuse-add-rms-norm");
    FailureOr<char> cover = coverOf(getOperation(), this->cover, log);
    if (failed(cover))
      return signalPassFailure();
    RewritePatternSet patterns(&getContext());
    patterns.add<FuseAddRmsNormPattern>(&getContext(), *cover, log);
    if (failed(fuseGreedily(getOperation(), std::move(patterns), "xfmr-fuse-add-rms-norm")))
      return signalPassFailure();
    getOperation()->walk([&](RmsNormOp norm) {
      if (addBefore(norm))
        log.missed(norm, whyNotAddNorm(norm, *cover));
    });
    log.finish(*cover == 'b' ? "the add went with another norm"
                             : (llvm::Twine("the add went into the linear before it (cover ") +
                                llvm::Twine(*cover) + ")")
                                   .str());
  }
};

} // namespace
