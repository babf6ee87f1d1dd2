//===- Sampling.h - drawing tokens, hand-written ----------------*- C++ -*-===//
//
// Two kernels over a step's logits: the largest of every slice of a row, then the row's token. The
// bodies and what they promise: runtime/kernels/Sampling.h. Neither depends on the entry, so that
// all share them; only their grids differ.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "Templates.h"

namespace sinter::gpu {

/// Bytes of the lists for `rows` rows.
int64_t sampleListBytes(int64_t rows);

/// parameters: logits f32 [R, V], lists
mlir::FailureOr<GpuKernel> emitSampleTop(mlir::Operation *gpuModule, llvm::StringRef name,
                                         int64_t vocabulary);
/// parameters: logits f32 [R, V], lists, value f32 [R], index i32 [R], feedback i32 [R]
mlir::FailureOr<GpuKernel> emitSampleDraw(mlir::Operation *gpuModule, llvm::StringRef name,
                                          int64_t vocabulary);

/// CTAs for up to `rows` rows: more than a chip can hold take several items each.
int64_t sampleTopGrid(int64_t rows);
int64_t sampleDrawGrid(int64_t rows);

} // namespace sinter::gpu
