//===- FuseRmsNormLinear.cpp - a norm goes into the linear after it -------===//
//
// (s * (x . g)) W^T = s * ((x . g) W^T), s = 1 / rms(x): the row scale commutes with the linear.
//
//===----------------------------------------------------------------------===//
#include "sinter/Transforms/FusionConditions.h"
#include "sinter/Transforms/FusionDriver.h"
#include "sinter/Transforms/FusionLog.h"
#include "sinter/Transforms/OpNames.h"
#include "sinter/Transforms/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace sinter::xfmr {
#define GEN_PASS_DEF_FUSERMSNORMLINEAR
#include "sinter/Transforms/Passes.h.inc"
} // namespace sinter::xfmr

using namespace mlir;
using namespace sinter::xfmr;

namespace {

// Pattern: linear(rms_norm(x, g), W) -> rms_norm_linear(x, g, W)  [norm has one use]
// Pattern: linear_argmax(rms_norm(x, g), W) -> linear_argmax(x, W, g)  [norm has one use]
struct FuseRmsNormLinearPattern : OpInterfaceRewritePattern<RowScaleOpInterface> {
  FuseRmsNormLinearPattern(MLIRContext *ctx, char cover, FusionLog &log)
      : OpInterfaceRewritePattern(ctx), cover(cover), log(log) {}

  LogicalResult matchAndRewrite(RowScaleOpInterface op, PatternRewriter &rewriter) const override {
    StringRef reason = whyNotNormLinear(op, cover);
    if (!reason.empty())
      return rewriter.notifyMatchFailure(op, reason);
    RmsNormOp norm = normBefore(op);
    Operation *fused = op.buildWithNorm(rewriter, norm.getX(), norm.getGamma(), norm.getEpsAttr());
    if (!fused)
      return rewriter.notifyMatchFailure(op, "the op cannot take a norm");
    fused->setLoc(fusedLocation(op, {norm}));
    rewriter.replaceOp(op, fused->getResults());
    rewriter.eraseOp(norm);
    log.fused(fused);
    return success();
  }

  char cover;
  FusionLog &log;
};

// Pattern: swiglu(rms_norm_linear(x, g, W)) -> rms_norm_swiglu(x, g, W)
//          [swiglu has one operand: gate and up are merged; rms_norm_linear has one use]
struct FuseSwigluPattern : OpRewritePattern<SwigluOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(SwigluOp swiglu, PatternRewriter &rewriter) const override {
    auto linear = swiglu.getGate().getDefiningOp<RmsNormLinearOp>();
    if (!linear || swiglu.getUp() || !linear->hasOneUse())
      return rewriter.notifyMatchFailure(swiglu, "no rms_norm_linear of its own before it");
    auto fused = RmsNormSwigluOp::create(rewriter, fusedLocation(linear, {swiglu}),
                                         swiglu.getType(), linear.getX(), linear.getGamma(),
                                         linear.getW(), linear.getBias(), linear.getEpsAttr());
    rewriter.replaceOp(swiglu, fused);
    rewriter.eraseOp(linear);
    return success();
  }
};

struct FuseRmsNormLinearPass : sinter::xfmr::impl::FuseRmsNormLinearBase<FuseRmsNormLinearPass> {
  using FuseRmsNormLinearBase::FuseRmsNormLinearBase;

  void runOnOperation() override {
    FusionLog log(getOperation(), "fuse-rms-norm-linear");
    FailureOr<char> cover = coverOf(getOperation(), this->cover, log);
    if (failed(cover))
      return signalPassFailure();
    RewritePatternSet patterns(&getContext());
    patterns.add<FuseRmsNormLinearPattern>(&getContext(), *cover, log);
    patterns.add<FuseSwigluPattern>(&getContext());
    if (failed(fuseGreedily(getOperation(), std::move(patterns), "xfmr-fuse-rms-norm-linear")))
      return signalPassFailure();
    getOperation()->walk([&](RowScaleOpInterface op) {
      if (!normBefore(op))
        return;
      StringRef reason = whyNotNormLinear(op, *cover);
      log.missed(op, reason.empty() ? "the op cannot take a norm" : reason);
    });
    log.finish("the norm went with the add before it");
  }
};

} // namespace
