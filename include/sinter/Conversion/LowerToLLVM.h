//===- LowerToLLVM.h - kernels from scf/arith/vector to LLVM ----*- C++ -*-===//
#pragma once

namespace mlir {
class OpPassManager;
class DialectRegistry;
} // namespace mlir

namespace sinter {

/// Takes the module that convertXfmrToCpu built to the LLVM dialect alone. Its functions carry
/// target CPU, vector width and "no-builtins" as attributes: translate and compile them as they
/// are, without fast-math or FP contraction.
void buildLowerToLLVMPipeline(mlir::OpPassManager &pm);

} // namespace sinter
