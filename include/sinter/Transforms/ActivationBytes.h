//===- ActivationBytes.h - kernels and activation traffic -------*- C++ -*-===//
//
// Activation bytes of a kernel: its reads + writes of tensors that are neither weights nor cached
// context; K and V written by this step count. All per token, so that one number serves a range.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "sinter/Dialect/Xfmr.h"

#include "mlir/Interfaces/FunctionInterfaces.h"

namespace sinter::xfmr {

/// Whether the op is an entry of the schedule: no weight access, no view, no terminator.
bool isKernel(mlir::Operation *op);

/// Activation bytes that the op reads and writes per token (per row, for what follows select_rows).
int64_t activationBytesPerToken(mlir::Operation *op);

/// Of all kernels of the function; a split of a wider tensor counts as a strided view.
int64_t activationBytesPerToken(mlir::FunctionOpInterface func);

/// What the layers of one function cost, all layers together.
struct LayerTotals {
  int64_t layers = 0;
  int64_t kernels = 0;
  int64_t bytesPerToken = 0;
};

/// Counts the ops whose name says that they belong to a layer. With `splitIsFree` a split of a
/// wider tensor counts as a strided view: the fair reading of a graph that is only a baseline.
LayerTotals countLayers(mlir::FunctionOpInterface func, bool splitIsFree = false);

} // namespace sinter::xfmr
