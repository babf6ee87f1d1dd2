//===- FuseLinearArgmax.cpp - logits that nobody stores -------------------===//
//
// argmax(x W^T + b): the f32 logits of a row are compared as they are computed.
//
//===----------------------------------------------------------------------===//
#include "sinter/Transforms/FusionConditions.h"
#include "sinter/Transforms/FusionDriver.h"
#include "sinter/Transforms/FusionLog.h"
#include "sinter/Transforms/OpNames.h"
#include "sinter/Transforms/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace sinter::xfmr {
#define GEN_PASS_DEF_FUSELINEARARGMAX
#include "sinter/Transforms/Passes.h.inc"
} // namespace sinter::xfmr

using namespace mlir;
using namespace sinter::xfmr;

namespace {

// Pattern: argmax(linear(x, W)) -> linear_argmax(x, W)  [logits are f32, linear has one use]
// Pattern: argmax(rms_norm_linear(x, g, W)) -> linear_argmax(x, W, g)  [likewise]
struct FuseLinearArgmaxPattern : OpRewritePattern<ArgmaxOp> {
  FuseLinearArgmaxPattern(MLIRContext *ctx, FusionLog &log) : OpRewritePattern(ctx), log(log) {}

  LogicalResult matchAndRewrite(ArgmaxOp argmax, PatternRewriter &rewriter) const override {
    StringRef reason = whyNotLinearArgmax(argmax);
    if (!reason.empty())
      return rewriter.notifyMatchFailure(argmax, reason);
    Operation *producer = argmax.getX().getDefiningOp();
    Location loc = fusedLocation(producer, {argmax});
    Type value = argmax.getValue().getType(), index = argmax.getIndex().getType();
    LinearArgmaxOp fused;
    if (auto linear = dyn_cast<LinearOp>(producer)) {
      fused =
          LinearArgmaxOp::create(rewriter, loc, value, index, linear.getX(), linear.getW(),
                                 linear.getBias(), /*gamma=*/Value(), rewriter.getF32FloatAttr(0));
    } else {
      auto normed = cast<RmsNormLinearOp>(producer);
      fused = LinearArgmaxOp::create(rewriter, loc, value, index, normed.getX(), normed.getW(),
                                     normed.getBias(), normed.getGamma(), normed.getEpsAttr());
    }
    rewriter.replaceOp(argmax, fused);
    rewriter.eraseOp(producer);
    log.fused(fused);
    return success();
  }

  FusionLog &log;
};

struct FuseLinearArgmaxPass : sinter::xfmr::impl::FuseLinearArgmaxBase<FuseLinearArgmaxPass> {
  void runOnOperation() override {
    FusionLog log(getOperation(), "fuse-linear-argmax");
    RewritePatternSet patterns(&getContext());
    patterns.add<FuseLinearArgmaxPattern>(&getContext(), log);
    if (failed(fuseGreedily(getOperation(), std::move(patterns), "xfmr-fuse-linear-argmax")))
      return signalPassFailure();
    getOperation()->walk([&](ArgmaxOp argmax) {
      if (isLinearArgmaxCandidate(argmax))
        log.missed(argmax, whyNotLinearArgmax(argmax));
    });
    log.finish();
  }
};

} // namespace
