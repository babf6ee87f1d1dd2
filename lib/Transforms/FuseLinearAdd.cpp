//===- FuseLinearAdd.cpp - a residual goes into the linear before it ------===//
//
// round(round(x W^T) + r) -> round(x W^T + r)
//
//===----------------------------------------------------------------------===//
#include "sinter/Transforms/FusionConditions.h"
#include "sinter/Transforms/FusionDriver.h"
#include "sinter/Transforms/FusionLog.h"
#include "sinter/Transforms/OpNames.h"
#include "sinter/Transforms/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace sinter::xfmr {
#define GEN_PASS_DEF_FUSELINEARADD
#include "sinter/Transforms/Passes.h.inc"
} // namespace sinter::xfmr

using namespace mlir;
using namespace sinter::xfmr;

namespace {

// Pattern: add(linear(x, W), r) -> linear_add(x, W, r)  [linear has one use, is not row-parallel]
// Built where the add stands, so that r may be computed after the linear.
struct FuseLinearAddPattern : OpRewritePattern<AddOp> {
  FuseLinearAddPattern(MLIRContext *ctx, char cover, FusionLog &log)
      : OpRewritePattern(ctx), cover(cover), log(log) {}

  LogicalResult matchAndRewrite(AddOp add, PatternRewriter &rewriter) const override {
    LinearAddMatch match = matchLinearAdd(add, cover);
    if (!match)
      return rewriter.notifyMatchFailure(add, match.reason);
    Operation *fused = match.linear.buildWithResidual(rewriter, match.residual);
    if (!fused)
      return rewriter.notifyMatchFailure(add, "the linear cannot take a residual");
    Operation *linear = match.linear;
    fused->setLoc(fusedLocation(linear, {add}));
    rewriter.replaceOp(add, fused->getResults());
    rewriter.eraseOp(linear);
    log.fused(fused);
    return success();
  }

  char cover;
  FusionLog &log;
};

struct FuseLinearAddPass : sinter::xfmr::impl::FuseLinearAddBase<FuseLinearAddPass> {
  using FuseLinearAddBase::FuseLinearAddBase;

  void runOnOperation() override {
    FusionLog log(getOperation(), "fuse-linear-add");
    FailureOr<char> cover = coverOf(getOperation(), this->cover, log);
    if (failed(cover))
      return signalPassFailure();
    RewritePatternSet patterns(&getContext());
    patterns.add<FuseLinearAddPattern>(&getContext(), *cover, log);
    if (failed(fuseGreedily(getOperation(), std::move(patterns), "xfmr-fuse-linear-add")))
      return signalPassFailure();
    getOperation()->walk([&](AddOp add) {
      if (!isLinearAddCandidate(add))
        return;
      LinearAddMatch match = matchLinearAdd(add, *cover);
      log.missed(add, match ? "the linear cannot take a residual" : match.reason);
    });
    log.finish("the add went into a norm");
  }
};

} // namespace
