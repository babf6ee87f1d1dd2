//===- XfmrToCpu.h - a planned graph to CPU kernels -------------*- C++ -*-===//
#pragma once

#include "sinter/Conversion/StepProgram.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

namespace sinter {

/// Lowers a module that went through xfmr-assign-weight-layout and xfmr-plan. `lowered` gets one
/// function per kernel and instruction set, with the C signature of SinterKernel. Weights are
/// numbered in the order of the module's xfmr.weight ops. Errors are emitted on the op that has no
/// lowering.
mlir::FailureOr<StepProgram> convertXfmrToCpu(mlir::ModuleOp planned, llvm::ArrayRef<CpuIsa> isas,
                                              mlir::OwningOpRef<mlir::ModuleOp> &lowered);

} // namespace sinter
