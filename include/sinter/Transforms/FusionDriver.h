//===- FusionDriver.h - runs the patterns of one fusion ---------*- C++ -*-===//
#pragma once

#include "mlir/IR/PatternMatch.h"
#include "mlir/Interfaces/FunctionInterfaces.h"

namespace sinter::xfmr {

/// Applies the patterns to the function from its first op on, so that of two possible places the
/// earlier one is fused. An error names `pass` if they do not converge.
mlir::LogicalResult fuseGreedily(mlir::FunctionOpInterface func, mlir::RewritePatternSet patterns,
                                 llvm::StringRef pass);

} // namespace sinter::xfmr
