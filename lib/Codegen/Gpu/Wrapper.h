//===- Wrapper.h - templates made into kernels ------------------*- C++ -*-===//
#pragma once

#include "Template.h"
#include "Templates.h"

namespace sinter::gpu {

/// A kernel of one op. On chips with dependent launches its edges are those, else kernel
/// boundaries.
GpuKernel emitKernel(mlir::Operation *gpuModule, llvm::StringRef name, const GpuChip &chip,
                     Template &op, int64_t maxTiles,
                     LinearTuning::Stress stress = LinearTuning::None);

/// A kernel of two ops, one after the other over the same CTAs; between them a grid barrier.
GpuKernel emitPersistentKernel(mlir::Operation *gpuModule, llvm::StringRef name,
                               const GpuChip &chip, Template &first, Template &second,
                               int64_t ctas);

/// A kernel that is one call of the device function `callee`: its pointers, null where `given` says
/// that the kernel has no such parameter, and then the constants. The last pointer is the batch.
/// `maps` says which parameters are tensor maps; the function takes their addresses.
GpuKernel emitCall(mlir::Operation *gpuModule, llvm::StringRef name, llvm::StringRef callee,
                   const TilePlan &launch, llvm::ArrayRef<bool> given,
                   llvm::ArrayRef<mlir::TypedAttr> constants, llvm::ArrayRef<TensorMap> maps = {});

} // namespace sinter::gpu
