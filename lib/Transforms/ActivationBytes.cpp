//===- ActivationBytes.cpp - kernels and activation traffic ---------------===//
//
// bytes(op) = sum over activation operands and results of size / tokens, + new K and V.
//
//===----------------------------------------------------------------------===//
#include "sinter/Transforms/ActivationBytes.h"

#include "sinter/Transforms/OpNames.h"

#include <set>

using namespace mlir;
using namespace sinter::xfmr;

bool sinter::xfmr::isKernel(Operation *op) {
  if (isa<GetWeightOp>(op) || op->hasTrait<OpTrait::IsTerminator>() ||
      !isa_and_nonnull<XfmrDialect>(op->getDialect()))
    return false;
  auto view = dyn_cast<ViewOpInterface>(op);
  return !view || !view.isView();
}

/// Bytes of one row of a float tensor; index vectors (tokens, rows) do not count.
static int64_t rowBytes(Value value) {
  auto type = dyn_cast<RankedTensorType>(value.getType());
  if (!type || !type.getElementType().isFloat())
    return 0;
  int64_t bytes = type.getElementTypeBitWidth() / 8;
  for (int64_t d : type.getShape().drop_front())
    bytes *= d;
  return bytes;
}

int64_t sinter::xfmr::activationBytesPerToken(Operation *op) {
  int64_t bytes = 0;
  for (Value operand : op->getOperands())
    if (!operand.getDefiningOp<GetWeightOp>())
      bytes += rowBytes(operand);
  for (Value result : op->getResults())
    bytes += rowBytes(result);
  if (auto cache = dyn_cast<CacheOpInterface>(op); cache && cache.writesCache()) {
    auto kv = cast<KvType>(cache.getKvOperand().get().getType());
    bytes +=
        2 * kv.getHeads() * kv.getHeadDim() * (kv.getElementType().getIntOrFloatBitWidth() / 8);
  }
  return bytes;
}

int64_t sinter::xfmr::activationBytesPerToken(FunctionOpInterface func) {
  int64_t bytes = 0;
  func->walk([&](Operation *op) {
    if (isKernel(op) && !isa<ViewOpInterface>(op))
      bytes += activationBytesPerToken(op);
  });
  return bytes;
}

LayerTotals sinter::xfmr::countLayers(FunctionOpInterface func, bool splitIsFree) {
  LayerTotals totals;
  std::set<int64_t> layers;
  func->walk([&](Operation *op) {
    int64_t layer = layerOf(op);
    if (layer < 0 || !isKernel(op) || (splitIsFree && isa<ViewOpInterface>(op)))
      return;
    layers.insert(layer);
    ++totals.kernels;
    totals.bytesPerToken += activationBytesPerToken(op);
  });
  totals.layers = layers.size();
  return totals;
}
