//===- CudaOpsCache.cpp - ops on the cache to their GPU kernels -----------===//
#include "CudaLowering.h"

using namespace mlir;
using namespace sinter;
using namespace sinter::gpu;

LogicalResult CudaLowering::qkNormRopeWrite(xfmr::QkNormRopeWriteOp op) {
  return op.emitOpError("is not executed on the cuda target");
}

LogicalResult CudaLowering::attention(xfmr::AttentionOp op) {
  return op.emitOpError("is not executed on the cuda target");
}
