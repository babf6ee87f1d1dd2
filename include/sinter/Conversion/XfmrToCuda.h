//===- XfmrToCuda.h - a planned graph to GPU kernels ------------*- C++ -*-===//
#pragma once

#include "sinter/Conversion/StepProgram.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

namespace sinter {

/// Lowers a module that went through xfmr-assign-weight-layout{target=cuda} and xfmr-plan.
/// `lowered` gets one gpu.module per kernel, named like the kernel in it, in the order of
/// StepProgram::kernels. Kernel parameters are pointers and, last, the SinterBatch. Errors are
/// emitted on the op that has no lowering.
mlir::FailureOr<StepProgram> convertXfmrToCuda(mlir::ModuleOp planned, llvm::StringRef chip,
                                               mlir::OwningOpRef<mlir::ModuleOp> &lowered);

} // namespace sinter
