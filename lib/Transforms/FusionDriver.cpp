//===- FusionDriver.cpp - runs the patterns of one fusion -----------------===//
#include "sinter/Transforms/FusionDriver.h"

#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

using namespace mlir;

LogicalResult sinter::xfmr::fuseGreedily(FunctionOpInterface func, RewritePatternSet patterns,
                                         StringRef pass) {
  GreedyRewriteConfig config;
  config.setUseTopDownTraversal();
  config.setRegionSimplificationLevel(GreedySimplifyRegionLevel::Disabled);
  if (succeeded(applyPatternsGreedily(func, std::move(patterns), config)))
    return success();
  return func->emitError() << pass << " did not converge";
}
