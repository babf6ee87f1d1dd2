//===- FusionConditions.h - when a fusion is legal --------------*- C++ -*-===//
//
// Shared by the patterns (may I?), by the log (why not?) and by fusions that must leave an op to
// another. A reason is a sentence for the user; empty means yes.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "sinter/Dialect/Xfmr.h"

#include "mlir/IR/PatternMatch.h"

namespace sinter::xfmr {

/// On a function, by whoever knows the target: {"fuse-linear-add 1024x2048" = "measured slower
/// ..."} for fusions that lose in this token range, by pass and the matrix's shape.
constexpr llvm::StringLiteral kSlowerAttr = "xfmr.slower";
/// What it says about `pass` at `op`; empty: nothing.
llvm::StringRef whySlower(mlir::Operation *op, llvm::StringRef pass, llvm::StringRef shape);
/// "1024x2048" of the matrix that `op` reads; empty when it reads none.
std::string matrixShape(mlir::Operation *op);

/// An add with a linear, or the all_reduce of one, before it.
bool isLinearAddCandidate(AddOp add);

/// Which linear an add goes into, and the other summand.
struct LinearAddMatch {
  ResidualOpInterface linear;
  mlir::Value residual;
  llvm::StringRef reason;
  explicit operator bool() const { return reason.empty(); }
};
LinearAddMatch matchLinearAdd(AddOp add, char cover);

/// The norm whose result `op` scales linearly in each row; null if none.
RmsNormOp normBefore(RowScaleOpInterface op);
/// Why the norm before `op` does not go into it.
llvm::StringRef whyNotNormLinear(RowScaleOpInterface op, char cover);

/// The add that a norm over matrix rows reads; null if none.
AddOp addBefore(RmsNormOp norm);
/// Why the add does not go into the norm after it.
llvm::StringRef whyNotAddNorm(RmsNormOp norm, char cover);

/// An argmax over the columns of a linear, or over all ranks' columns.
bool isLinearArgmaxCandidate(ArgmaxOp argmax);
llvm::StringRef whyNotLinearArgmax(ArgmaxOp argmax);

/// Makes `value` available before `op`: already is, or is a weight access that can move there.
/// Without a rewriter only asks.
bool makeAvailable(mlir::Value value, mlir::Operation *op, mlir::RewriterBase *rewriter = nullptr);

} // namespace sinter::xfmr
