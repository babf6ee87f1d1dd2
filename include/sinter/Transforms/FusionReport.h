//===- FusionReport.h - what --explain-fusion prints ------------*- C++ -*-===//
#pragma once

#include "llvm/Support/raw_ostream.h"

#include <map>
#include <string>
#include <vector>

namespace mlir {
class ModuleOp;
}

namespace sinter::xfmr {

/// What a target says about an entry: how many kernels its schedule has (an op may take more than
/// one, or share one), those of layers apart, and, by pass, lines about the kernels of what it
/// fused.
struct EntryNotes {
  int64_t launches = 0;
  int64_t layerLaunches = 0;
  bool splitsAttention = false; ///< its partial results go through memory, as many as the context
  std::map<std::string, std::vector<std::string>> kernels;
};

/// Per entry point: kernels and activation bytes per layer before and after, then what every merge
/// and fusion did and why not. Reads the record that the passes left on the functions. `notes` are
/// by function; without them the ops are counted.
void printFusionReport(mlir::ModuleOp module, llvm::raw_ostream &os,
                       const std::map<std::string, EntryNotes> &notes = {});

} // namespace sinter::xfmr
