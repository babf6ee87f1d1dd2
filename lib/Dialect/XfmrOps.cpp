//===- XfmrOps.cpp - interfaces of the xfmr ops ---------------------------===//
#include "sinter/Dialect/Xfmr.h"

using namespace mlir;
using namespace sinter::xfmr;

#include "sinter/Dialect/XfmrInterfaces.cpp.inc"
#define GET_OP_CLASSES
#include "sinter/Dialect/XfmrOps.cpp.inc"

//===----------------------------------------------------------------------===//
// RowScaleOpInterface, ResidualOpInterface
//===----------------------------------------------------------------------===//

OpOperand &LinearOp::getScaledInput() { return getXMutable(); }

Operation *LinearOp::buildWithNorm(OpBuilder &b, Value x, Value gamma, FloatAttr eps) {
  // A row-parallel linear sees only part of the row: its 1/rms would be that of the part.
  if (getRowParallel())
    return nullptr;
  return RmsNormLinearOp::create(b, getLoc(), getType(), x, gamma, getW(), getBias(), eps);
}

bool LinearOp::isRowParallel() { return getRowParallel(); }

Operation *LinearOp::buildWithResidual(OpBuilder &b, Value residual) {
  if (getRowParallel() || residual.getType() != getType())
    return nullptr;
  return LinearAddOp::create(b, getLoc(), getType(), getX(), getW(), residual, getBias());
}

OpOperand &LinearArgmaxOp::getScaledInput() { return getXMutable(); }

Operation *LinearArgmaxOp::buildWithNorm(OpBuilder &b, Value x, Value gamma, FloatAttr eps) {
  if (getGamma())
    return nullptr;
  return LinearArgmaxOp::create(b, getLoc(), getValue().getType(), getIndex().getType(), x, getW(),
                                getBias(), gamma, eps);
}

//===----------------------------------------------------------------------===//
// AliasOpInterface
//===----------------------------------------------------------------------===//

int64_t RmsNormOp::getAliasableOperand(unsigned) {
  return getX().getType() == getType() ? int64_t(getXMutable().getOperandNumber()) : -1;
}
int64_t AddOp::getAliasableOperand(unsigned) { return getAMutable().getOperandNumber(); }
int64_t RopeOp::getAliasableOperand(unsigned) { return getXMutable().getOperandNumber(); }
int64_t LinearAddOp::getAliasableOperand(unsigned) {
  return getResidualMutable().getOperandNumber();
}
int64_t AddRmsNormOp::getAliasableOperand(unsigned result) {
  return result == 0 ? int64_t(getAMutable().getOperandNumber()) : -1;
}

//===----------------------------------------------------------------------===//
// ViewOpInterface
//===----------------------------------------------------------------------===//

bool SplitHeadsOp::isView() {
  auto to = getType();
  return getOffset() == 0 && getX().getType().getDimSize(1) == to.getDimSize(1) * to.getDimSize(2);
}
bool MergeHeadsOp::isView() { return true; }

//===----------------------------------------------------------------------===//
// MatrixReaderOpInterface
//===----------------------------------------------------------------------===//

OpOperand &EmbeddingOp::getMatrixOperand() { return getTableMutable(); }

//===----------------------------------------------------------------------===//
// CacheOpInterface
//===----------------------------------------------------------------------===//

OpOperand &KvWriteOp::getKvOperand() { return getKvMutable(); }
bool KvWriteOp::writesCache() { return true; }
OpOperand &AttentionOp::getKvOperand() { return getKvMutable(); }
bool AttentionOp::writesCache() { return false; }
OpOperand &QkNormRopeWriteOp::getKvOperand() { return getKvMutable(); }
bool QkNormRopeWriteOp::writesCache() { return true; }
