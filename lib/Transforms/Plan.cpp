//===- Plan.cpp - where every activation of a step lies -------------------===//
//
// The order of the ops is the schedule. A buffer lives from the op that writes it to the last op
// that reads it, both included; views share their source's buffer, an op that may overwrite an
// operand takes over its buffer at the operand's last use. Largest buffers are placed first, each
// at the lowest offset that is free during its life.
//
//===----------------------------------------------------------------------===//
#include "sinter/Dialect/Xfmr.h"
#include "sinter/Transforms/Passes.h"
#include "sinter/Transforms/PlanCheck.h"
#include "sinter/Transforms/TokenRange.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

using namespace mlir;
using namespace sinter::xfmr;

namespace sinter::xfmr {
#define GEN_PASS_DEF_PLAN
#include "sinter/Transforms/Passes.h.inc"
} // namespace sinter::xfmr

namespace {

constexpr int64_t kAlignment = 64;

/// A piece of the arena and when it is occupied, as positions in the schedule.
struct Buffer {
  int64_t bytes = 0;
  int64_t first = 0;
  int64_t last = 0;
  int64_t offset = 0;
};

class Planner {
public:
  Planner(func::FuncOp func, bool reuse) : func(func), reuse(reuse) {}

  /// Sets xfmr.buffers on every op; the arena's size, or failure.
  FailureOr<int64_t> run();

private:
  LogicalResult findOutputs();
  LogicalResult assign(Operation &op);
  LogicalResult assignResult(Operation &op, OpResult result);
  /// The buffer that `result` may take over, or -1.
  int64_t takenOver(Operation &op, OpResult result) const;
  int64_t lastUse(Value value) const;
  int64_t place();
  void annotate();

  func::FuncOp func;
  bool reuse;
  DenseMap<Operation *, int64_t> position;
  DenseSet<Value> outputs;
  DenseMap<Value, int64_t> bufferOf; ///< index into buffers, or one of kNoBuffer, kOutputBuffer
  std::vector<Buffer> buffers;
};

LogicalResult Planner::findOutputs() {
  Operation *terminator = func.getBody().front().getTerminator();
  for (Value value : terminator->getOperands()) {
    if (!isa<RankedTensorType>(value.getType()))
      continue;
    // A view has no buffer of its own: what it shows is the output.
    while (auto view = value.getDefiningOp<ViewOpInterface>()) {
      if (!view.isView())
        break;
      value = view->getOperand(0);
    }
    if (isa<BlockArgument>(value) || value.getDefiningOp<GetWeightOp>())
      return terminator->emitOpError("returns a tensor that no op of the step computes");
    if (!outputs.insert(value).second)
      return terminator->emitOpError("returns one tensor twice");
  }
  return success();
}

int64_t Planner::lastUse(Value value) const {
  int64_t last = position.lookup(value.getDefiningOp());
  for (Operation *user : value.getUsers())
    last = std::max(last, position.lookup(user));
  return last;
}

int64_t Planner::takenOver(Operation &op, OpResult result) const {
  auto alias = dyn_cast<AliasOpInterface>(op);
  const int64_t number = alias ? alias.getAliasableOperand(result.getResultNumber()) : -1;
  if (!reuse || number < 0 || op.getOperand(number).getType() != result.getType())
    return -1;
  const int64_t buffer = bufferOf.lookup(op.getOperand(number));
  if (buffer < 0 || buffers[buffer].last != position.lookup(&op))
    return -1;
  // Another operand in the same buffer would be read after it was overwritten.
  for (OpOperand &operand : op.getOpOperands())
    if (operand.getOperandNumber() != number && bufferOf.lookup(operand.get()) == buffer)
      return -1;
  return buffer;
}

LogicalResult Planner::assignResult(Operation &op, OpResult result) {
  int64_t &buffer = bufferOf[result];
  buffer = kNoBuffer;
  if (!isa<RankedTensorType>(result.getType()) || isa<GetWeightOp>(op))
    return success();
  if (auto view = dyn_cast<ViewOpInterface>(op); view && view.isView()) {
    buffer = bufferOf.lookup(op.getOperand(0));
    if (buffer >= 0)
      buffers[buffer].last = std::max(buffers[buffer].last, lastUse(result));
    return success();
  }
  if (outputs.contains(result)) {
    buffer = kOutputBuffer;
    return success();
  }
  buffer = takenOver(op, result);
  if (buffer >= 0) {
    buffers[buffer].last = lastUse(result);
    return success();
  }
  FailureOr<int64_t> bytes = plannedBytes(func, result);
  if (failed(bytes))
    return failure();
  buffer = static_cast<int64_t>(buffers.size());
  buffers.push_back({*bytes, position.lookup(&op), lastUse(result), 0});
  return success();
}

LogicalResult Planner::assign(Operation &op) {
  for (OpResult result : op.getResults())
    if (failed(assignResult(op, result)))
      return failure();
  return success();
}

int64_t Planner::place() {
  std::vector<Buffer *> order;
  for (Buffer &buffer : buffers)
    order.push_back(&buffer);
  // Equal sizes keep their order, so that one graph always gets one plan.
  if (reuse)
    llvm::sort(order, [](const Buffer *a, const Buffer *b) {
      return std::make_pair(-a->bytes, a) < std::make_pair(-b->bytes, b);
    });
  std::vector<Buffer *> placed; // by offset
  int64_t arena = 0;
  for (Buffer *buffer : order) {
    int64_t offset = 0;
    for (const Buffer *other : placed) {
      const bool together =
          !reuse || (other->first <= buffer->last && buffer->first <= other->last);
      if (!together)
        continue;
      if (offset + buffer->bytes <= other->offset)
        break;
      offset = std::max<int64_t>(offset, llvm::alignTo(other->offset + other->bytes, kAlignment));
    }
    buffer->offset = offset;
    arena = std::max<int64_t>(arena, llvm::alignTo(offset + buffer->bytes, kAlignment));
    placed.insert(
        llvm::upper_bound(placed, buffer,
                          [](const Buffer *a, const Buffer *b) { return a->offset < b->offset; }),
        buffer);
  }
  return arena;
}

void Planner::annotate() {
  for (Operation &op : func.getBody().front()) {
    if (llvm::none_of(op.getResultTypes(), llvm::IsaPred<RankedTensorType>))
      continue;
    SmallVector<int64_t> offsets;
    for (OpResult result : op.getResults()) {
      const int64_t buffer = bufferOf.lookup(result);
      offsets.push_back(buffer < 0 ? buffer : buffers[buffer].offset);
    }
    op.setAttr(kBuffersAttr, DenseI64ArrayAttr::get(op.getContext(), offsets));
  }
}

FailureOr<int64_t> Planner::run() {
  if (!func.getBody().hasOneBlock())
    return func.emitOpError("a step to be planned has one block");
  for (BlockArgument argument : func.getArguments())
    bufferOf[argument] = kNoBuffer;
  for (Operation &op : func.getBody().front())
    position[&op] = static_cast<int64_t>(position.size());
  if (failed(findOutputs()))
    return failure();
  for (Operation &op : func.getBody().front())
    if (failed(assign(op)))
      return failure();
  const int64_t arena = place();
  annotate();
  return arena;
}

struct Plan : sinter::xfmr::impl::PlanBase<Plan> {
  using PlanBase::PlanBase;

  void runOnOperation() override {
    int64_t arena = 0;
    for (func::FuncOp func : getOperation().getOps<func::FuncOp>()) {
      if (!func->hasAttr(kEntryAttr) || func.isExternal())
        continue;
      FailureOr<int64_t> bytes = Planner(func, reuse).run();
      // Cheap beside everything else, and a wrong plan computes garbage without a word.
      if (failed(bytes) || failed(checkPlan(func, *bytes)))
        return signalPassFailure();
      arena = std::max(arena, *bytes);
    }
    OpBuilder builder(&getContext());
    getOperation()->setAttr(kArenaBytesAttr, builder.getI64IntegerAttr(arena));
  }
};

} // namespace
