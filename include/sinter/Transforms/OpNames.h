//===- OpNames.h - the location name every op carries -----------*- C++ -*-===//
//
// An op's name is its NameLoc ("layers.7.mlp.down"). A fused op keeps the name of the op that does
// the work; the child location lists what it took in.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "mlir/IR/Operation.h"

namespace sinter::xfmr {

/// The op's name, or "" when its location has none.
llvm::StringRef opName(mlir::Operation *op);

/// "layers.7." -> 7; -1 for an op outside the layers or without a name.
int64_t layerOf(mlir::Operation *op);

/// The name with its last component replaced: ("layers.7.attn.q", "qkv") -> "layers.7.attn.qkv".
std::string siblingName(llvm::StringRef name, llvm::StringRef last);

/// A location named `name` that lists the locations of `parts`.
mlir::Location mergedLocation(llvm::StringRef name, llvm::ArrayRef<mlir::Operation *> parts);

/// The location of a fused op: named after `main`, listing `main` and `taken`.
mlir::Location fusedLocation(mlir::Operation *main, llvm::ArrayRef<mlir::Operation *> taken);

} // namespace sinter::xfmr
