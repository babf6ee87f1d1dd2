//===- QkvMatch.h - from projections to a layer's cache ---------*- C++ -*-===//
//
//   split_heads -> [rms_norm] -> [rope] -> q of attention, k or v of kv_write
//
//===----------------------------------------------------------------------===//
#pragma once

#include "sinter/Dialect/Xfmr.h"

namespace sinter::xfmr {

/// What prepares one of q, k, v; ops that are not there are null.
struct HeadsChain {
  SplitHeadsOp split;
  RmsNormOp norm;
  RopeOp rope;
  llvm::StringRef reason; ///< why there is no such chain; empty if there is
};

/// The chain that ends in `heads`. Its inner values must have one use; `heads` may have more.
HeadsChain matchHeads(mlir::Value heads);

/// The chains of one layer: those of the write, and that of the attention that reads it.
struct QkvMatch {
  HeadsChain q, k, v;
  llvm::StringRef reason;
};
QkvMatch matchQkv(KvWriteOp write);

} // namespace sinter::xfmr
