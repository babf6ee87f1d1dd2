//===- XfmrToCuda.h - a planned graph to GPU kernels ------------*- C++ -*-===//
#pragma once

#include "sinter/Conversion/StepProgram.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

namespace sinter {

struct CudaOptions {
  /// The bits of a token do not depend on the entry point that computes it nor on what else is in
  /// the step.
  bool batchInvariant = false;
};

/// Lowers a module that went through xfmr-assign-weight-layout{target=cuda} and xfmr-plan.
/// `lowered` gets one gpu.module per kernel, named like the kernel in it, in the order of
/// StepProgram::kernels. Kernel parameters are pointers and, last, the SinterBatch. Errors are
/// emitted on the op that has no lowering.
mlir::FailureOr<StepProgram> convertXfmrToCuda(mlir::ModuleOp planned, llvm::StringRef chip,
                                               const CudaOptions &options,
                                               mlir::OwningOpRef<mlir::ModuleOp> &lowered);

} // namespace sinter
