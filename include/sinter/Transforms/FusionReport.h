//===- FusionReport.h - what --explain-fusion prints ------------*- C++ -*-===//
#pragma once

#include "llvm/Support/raw_ostream.h"

namespace mlir {
class ModuleOp;
}

namespace sinter::xfmr {

/// Per entry point: kernels and activation bytes per layer before and after, then what every merge
/// and fusion did and why not. Reads the record that the passes left on the functions.
void printFusionReport(mlir::ModuleOp module, llvm::raw_ostream &os);

} // namespace sinter::xfmr
