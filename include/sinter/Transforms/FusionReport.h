//===- FusionReport.h - what --explain-fusion prints ------------*- C++ -*-===//
#pragma once

#include "llvm/Support/raw_ostream.h"

#include <map>
#include <string>

namespace mlir {
class ModuleOp;
}

namespace sinter::xfmr {

/// Per entry point: kernels and activation bytes per layer before and after, then what every merge
/// and fusion did and why not. Reads the record that the passes left on the functions. `launches`
/// gives, by function, how many kernels the target's schedule has (an op may take more than one);
/// without it the ops are counted.
void printFusionReport(mlir::ModuleOp module, llvm::raw_ostream &os,
                       const std::map<std::string, int64_t> &launches = {});

} // namespace sinter::xfmr
