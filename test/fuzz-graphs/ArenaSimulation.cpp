//===- ArenaSimulation.cpp - a buffer plan played with real values --------===//
#include "ArenaSimulation.h"

#include "sinter/Dialect/Xfmr.h"

#include "mlir/Interfaces/FunctionInterfaces.h"

#include <algorithm>
#include <limits>

using namespace mlir;
using namespace sinter;
using namespace sinter::interp;
using namespace sinter::xfmr;

/// Bytes of a tensor when every dynamic size is the entry's largest number of tokens.
static int64_t largestBytes(Operation *op, RankedTensorType type) {
  auto range =
      op->getParentOfType<FunctionOpInterface>()->getAttrOfType<DenseI64ArrayAttr>(kTokensAttr);
  int64_t bytes = type.getElementTypeBitWidth() / 8;
  for (int64_t size : type.getShape())
    bytes *= ShapedType::isDynamic(size) ? range[1] : size;
  return bytes;
}

static bool readAfter(Value value, Operation *op) {
  return llvm::any_of(value.getUsers(), [&](Operation *user) { return op->isBeforeInBlock(user); });
}

static bool isView(Operation *op) {
  auto view = dyn_cast<ViewOpInterface>(op);
  return view && view.isView();
}

void ArenaSimulation::checkOperands(Operation *op, OpResult result, const Placed &placed) {
  auto alias = dyn_cast<AliasOpInterface>(op);
  for (OpOperand &operand : op->getOpOperands())
    for (const Placed &other : live_) {
      if (other.value != operand.get() || other.end <= placed.begin || placed.end <= other.begin)
        continue;
      const bool inPlace = alias && alias.getAliasableOperand(result.getResultNumber()) ==
                                        operand.getOperandNumber();
      if (!inPlace || other.begin != placed.begin)
        error_ = op->getName().getStringRef().str() + " overwrites its operand " +
                 std::to_string(operand.getOperandNumber());
    }
}

void ArenaSimulation::observe(Operation *op, ArrayRef<Tensor *> results) {
  auto offsets = op->getAttrOfType<DenseI64ArrayAttr>("xfmr.buffers");
  size_t next = 0;
  for (OpResult result : op->getResults()) {
    auto type = dyn_cast<RankedTensorType>(result.getType());
    if (!type)
      continue;
    Tensor *tensor = results[next++];
    if (!offsets) {
      error_ = op->getName().getStringRef().str() + " has no xfmr.buffers";
      continue;
    }
    const int64_t begin = offsets[result.getResultNumber()];
    if (begin < 0)
      continue;
    const Placed placed = {result, tensor, begin, begin + largestBytes(op, type)};
    if (!isView(op)) {
      checkOperands(op, result, placed);
      for (const Placed &other : live_)
        if (other.begin < placed.end && placed.begin < other.end && readAfter(other.value, op))
          std::fill(other.tensor->data.begin(), other.tensor->data.end(),
                    std::numeric_limits<double>::quiet_NaN());
    }
    live_.push_back(placed);
  }
  // Tensors die after their last reader; what is left must not be touched through old pointers.
  llvm::erase_if(live_, [&](const Placed &placed) { return !readAfter(placed.value, op); });
}
