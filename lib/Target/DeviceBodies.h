//===- DeviceBodies.h - hand-written kernels for generated modules -*- C++ -*-===//
#pragma once

#include "mlir/IR/Location.h"
#include "mlir/Support/LLVM.h"

namespace llvm {
class Module;
}

namespace sinter {

/// Gives the functions that `module` calls but does not have (runtime/kernels/Bodies.cu) their
/// bodies, private and to be inlined. A call of a function that nobody has is an error.
mlir::LogicalResult linkDeviceBodies(mlir::Location loc, llvm::Module &module,
                                     llvm::StringRef chip);

} // namespace sinter
